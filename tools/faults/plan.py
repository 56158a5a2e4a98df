"""What is done to a run, and when: drawn from a seed, spread over all parts of the recipe."""

from __future__ import annotations

import dataclasses
import errno
import random
from collections.abc import Mapping, Sequence

from faults.preload import KINDS, Fault

# Name -> (kind of call, action, whether it lasts).
FAULTS: dict[str, tuple[str, str, bool]] = {
    "ENOSPC on write": ("write", f"fail {errno.ENOSPC}", True),
    "EIO on write": ("write", f"fail {errno.EIO}", False),
    "EIO on read": ("read", f"fail {errno.EIO}", False),
    "EIO on rename": ("rename", f"fail {errno.EIO}", False),
    "EIO on close or fsync": ("flush", f"fail {errno.EIO}", False),
    "EMFILE on open": ("open", f"fail {errno.EMFILE}", True),
    "EROFS, a folder turned read-only": ("change", f"fail {errno.EROFS}", True),
    "out of memory": ("open", "memory", True),
    "clock jumps": ("open", "jump", False),
}
KILL_AT_A_MOMENT = "SIGKILL at a moment"
KILL_AT_A_CALL = "SIGKILL at a call"
SECOND_RECIPE = "two recipes at once"
_JUMPS = (-10 * 365 * 86400, -86400, -3600, 3600, 86400, 10 * 365 * 86400)
_MEMORY = (1 << 20, 16 << 20, 128 << 20)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the recipe that can be done anew by itself.

    Args:
        stage: Of run.sh.
        folders: What it writes to, below the folder of a run.
        slow: Whether it imports ESPnet, which takes longer than all else that it does here.
    """

    stage: int
    folders: tuple[str, ...]
    slow: bool = False


# In order. A path belongs to the longest folder that it is below.
PARTS = {
    "corpora": Part(1, ("data/corpora", "downloads")),
    "data": Part(2, ("data", "dump")),
    "ssl": Part(2, ("exp/ssl",), slow=True),
    "front-end": Part(3, ("exp/se",), slow=True),
    "recognizer": Part(4, ("exp/asr",), slow=True),
    "fine-tuning": Part(5, ("exp/runs",), slow=True),
    "decoding": Part(6, ("exp/enhanced", "exp/decode"), slow=True),
    "scoring": Part(7, ("exp/score",)),
    "report": Part(8, ("exp",)),
}
FOLDERS = [folder for part in PARTS.values() for folder in part.folders]


def part_of(stage: int, step: str) -> str:
    """The part that a line `[stage 2] ssl (..)` is of."""
    own = [name for name, part in PARTS.items() if part.stage == stage]
    return step if step in own else own[0]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What is done to one run.

    Args:
        name: One of FAULTS, or what else happens.
        part: Where.
        moment: From 0 to 1: when, as a share of the part.
        draw: Seeds whatever else there is to choose.
    """

    name: str
    part: str
    moment: float
    draw: int


@dataclasses.dataclass(frozen=True)
class Round:
    """Disturbed runs, one after the other, each continuing the one before; then one that ends.

    Args:
        part: What is taken out of a finished run before; None: everything.
        disturbances: In order.
    """

    part: str | None
    disturbances: tuple[Disturbance, ...]


def rounds(
    seed: int, parts: Sequence[str], *, kills: int, faults: Sequence[str], count: int, scratch: int
) -> list[Round]:
    """Plan the rounds, so that every stretch of them goes through all parts.

    Args:
        seed: Of everything that is drawn.
        parts: Names of PARTS.
        kills: In each part and round, about half of them at a moment, the others at a call; in slow parts half as
            many.
        faults: Names of FAULTS: each comes once in each part, over all rounds together; in slow parts two thirds do.
        count: Rounds of each part; in each two recipes are started at once, too, in slow parts once in all.
        scratch: Rounds that begin with nothing, with one kill in each part.
    """
    generator = random.Random(seed)

    def draw(name: str, part: str) -> Disturbance:
        return Disturbance(name, part, generator.random(), generator.randrange(2**31))

    def kill(part: str, number: int) -> Disturbance:
        return draw(KILL_AT_A_CALL if number % 2 else KILL_AT_A_MOMENT, part)

    planned: list[list[Round]] = [[] for _ in range(count)]
    for part in parts:
        slow = PARTS[part].slow
        chosen = generator.sample([*faults], len(faults) * 2 // 3 if slow else len(faults))
        for number in range(count):
            own = [kill(part, number + k) for k in range(max(1, kills // 2) if slow else kills)]
            own += [draw(name, part) for name in chosen[number::count]]
            generator.shuffle(own)
            if not slow or number == 0:
                own.append(draw(SECOND_RECIPE, part))
            planned[number].append(Round(part, tuple(own)))
    whole = [Round(None, tuple(kill(part, number + k) for k, part in enumerate(parts))) for number in range(scratch)]
    return [*(one for each in planned for one in each), *whole]


def fault_of(disturbance: Disturbance, counts: Mapping[str, Sequence[Mapping[str, int]]]) -> Fault | None:
    """The fault of a disturbance; None where the library has nothing to do.

    Args:
        disturbance: What was planned.
        counts: For each part, how many calls of each kind an undisturbed run makes below each of FOLDERS.
    """
    generator = random.Random(disturbance.draw)
    if disturbance.name == KILL_AT_A_CALL:
        kind, action, lasts = generator.choice(KINDS), "kill", False
    elif disturbance.name in FAULTS:
        kind, action, lasts = FAULTS[disturbance.name]
        action += {"memory": f" {generator.choice(_MEMORY)}", "jump": f" {generator.choice(_JUMPS)}"}.get(action, "")
    else:
        return None
    calls = [count[kind] for count in counts[disturbance.part]]
    if not any(calls):
        return None
    folder = generator.choices(range(len(calls)), calls)[0]
    # Of a run that is continued less is left: rather one of the first calls.
    at = 1 + int(disturbance.moment**2 * 0.9 * calls[folder])
    # The first write is done half and says so; the one that follows fails.
    return Fault(kind, folder, at, action, times=0 if lasts else 2 if kind == "write" else 1)
