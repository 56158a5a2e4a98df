"""The campaign: python3 -m faults.campaign [--short] [--out DIR] ...; see tools/fault_campaign.sh."""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults import plan
from faults.digests import differences, digests, leftovers
from faults.plan import FOLDERS, PARTS, Disturbance
from faults.preload import Fault, NoCompiler, Preload, build
from faults.publish import counts_of, markdown
from faults.recipe import LONGEST, Reference, Session, command

_POLL = 0.05
_HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a campaign does.

    Args:
        seed: Of everything drawn.
        rounds: Of each part.
        kills: In each of them.
        scratch: Rounds that begin with nothing.
        parts: What is disturbed; the recipe runs to the last of them.
    """

    seed: int
    rounds: int
    kills: int
    scratch: int
    parts: list[str]


class Campaign:
    """A campaign in a folder, where it goes on after it was interrupted.

    Args:
        folder: For runs, their output, and what has been counted.
        settings: What to do.
        preset: Of the recipe.
        minutes: After so many no run is disturbed any more; the round is ended and compared.
    """

    def __init__(self, folder: Path, settings: Settings, preset: Path, *, minutes: float = float("inf")):
        if ":" in str(folder):
            raise SystemExit(f"fault_campaign.sh: error: --out {folder}: choose a folder without ':'")
        self.folder, self.settings, self.preset = folder, settings, preset
        self.root, self.logs = folder / "run", folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.file = folder / "campaign.json"
        self.preload = Preload(build(folder), folder / "calls", [self.root / name for name in FOLDERS])
        self.rounds = plan.rounds(
            settings.seed,
            settings.parts,
            kills=settings.kills,
            faults=list(plan.FAULTS),
            count=settings.rounds,
            scratch=settings.scratch,
        )
        self.record: dict[str, Any] = {
            "settings": dataclasses.asdict(settings),
            "reference": None,
            "attempts": [],
            "rounds": [],
        }
        if self.file.exists():
            old = json.loads(self.file.read_text())
            if old["settings"] != self.record["settings"]:
                raise SystemExit(f"fault_campaign.sh: error: {self.file} is of other settings: choose another --out")
            self.record = old
        self.began, self.before, self.until = time.monotonic(), self.done, time.monotonic() + 60 * minutes

    @property
    def done(self) -> int:
        """How many runs were disturbed."""
        return len(self.record["attempts"])

    def save(self) -> None:
        """Keep what has been counted."""
        tmp = self.file.with_suffix(".tmp")
        tmp.write_text(json.dumps(self.record, indent=1) + "\n")
        os.replace(tmp, self.file)

    def say(self, text: str) -> None:
        """A line of progress, with the time left."""
        total = sum(len(each.disturbances) for each in self.rounds)
        rest = ""
        if self.done > self.before:
            left = (time.monotonic() - self.began) / (self.done - self.before) * (total - self.done)
            rest = f"; {left / 60:.0f} min left"
        print(f"{time.strftime('%T')} [{self.done} of {total}] {text}{rest}", flush=True)

    def start(self, name: str, fault: Fault | None = None) -> Session:
        """Start the recipe."""
        last = max(PARTS[part].stage for part in self.settings.parts)
        words = command(self.root, self.preset, [f"--stop_stage={last}"])
        return Session(words, self.logs, name, None if fault is None else self.preload.environment(fault))

    @property
    def reference(self) -> Reference:
        """What the undisturbed run gave."""
        return Reference(**self.record["reference"])

    def run(self) -> None:
        """Do what is left to do."""
        if self.record["reference"] is None:
            self.undisturbed()
        for number, planned in enumerate(self.rounds):
            if number < len(self.record["rounds"]):
                continue
            mine = sum(attempt["round"] == number for attempt in self.record["attempts"])
            if not mine:
                if time.monotonic() > self.until:
                    return
                self.begin(planned.part)
            for position, disturbance in enumerate(planned.disturbances):
                if position >= mine and time.monotonic() <= self.until:
                    self.attempt(number, position, disturbance)
            self.finish(f"round{number}")

    def begin(self, part: str | None) -> None:
        """Take a part, or everything, out of the run that is there."""
        if part is None:
            shutil.rmtree(self.root)
        else:
            self.undo(part)

    def undo(self, part: str) -> None:
        """Take away what a part wrote."""
        (self.root / "finished").unlink(missing_ok=True)
        own = PARTS[part].folders
        for path in sorted(self.root.rglob("*"), reverse=True):
            below = [folder for folder in FOLDERS if path.is_relative_to(self.root / folder)]
            if below and max(below, key=len) in own and (path.is_symlink() or not path.is_dir()):
                path.unlink()

    def undisturbed(self) -> None:
        """The run that all others are compared with; it also counts the calls, part by part."""
        if self.root.exists():
            shutil.rmtree(self.root)
        self.say("undisturbed run")
        session = self.start("reference", Fault())
        ends = {}
        while session.code is None:
            time.sleep(_POLL)
            ends[session.part] = self.preload.seen().counts
        ends[session.part] = self.preload.seen().counts
        if session.code != 0:
            session.kill()
            raise SystemExit(f"fault_campaign.sh: error: the undisturbed run failed: {session.message()}")
        if not any(count for calls in ends[session.part] for count in calls.values()):
            raise SystemExit(f"fault_campaign.sh: error: {self.preload.library} saw no call: is it loaded?")
        before = ends.pop("", None)
        counts = {}
        for part, after in ends.items():
            counts[part] = [
                {kind: count - (before[k][kind] if before else 0) for kind, count in calls.items()}
                for k, calls in enumerate(after)
            ]
            before = after
        reference = Reference(session.table(), digests(self.root), session.seconds_by_part(), counts)
        self.record["reference"] = dataclasses.asdict(reference)
        self.save()

    def attempt(self, number: int, position: int, disturbance: Disturbance) -> None:
        """One disturbed run."""
        name = f"{number:02d}.{position:03d}"
        if (self.root / "finished").exists():
            self.undo(disturbance.part)
        fault = plan.fault_of(disturbance, self.reference.counts)
        record = {**dataclasses.asdict(disturbance), "round": number, "run": name, "message": "", "complaints": []}
        session = self.start(name, fault)
        try:
            record["outcome"] = self.watch(session, disturbance, fault, record)
        finally:
            session.kill()
        record |= {"seconds": round(time.monotonic() - session.started, 1), "code": session.code}
        if fault is not None:
            seen = self.preload.seen()
            record |= {"fault": dataclasses.asdict(fault), "fired": seen.fired, "where": self.relative(seen.where)}
        self.judge(record, session)
        self.record["attempts"].append(record)
        self.save()
        where = f" at {record['where']}" if record.get("where") else ""
        told = "".join(f": {text}" for text in [record["message"], *record["complaints"][:2]] if text)
        self.say(f"{disturbance.part}: {disturbance.name}{where}: {record['outcome']}{told}"[:400])

    def relative(self, path: str) -> str:
        """A path as it is called in what is published."""
        return path.replace(f"{self.root}/", "").replace(f"{self.folder}/", "")

    def watch(self, session: Session, disturbance: Disturbance, fault: Fault | None, record: dict[str, Any]) -> str:
        """Wait until a run has ended, or end it; gives what it came to."""
        order = [*PARTS]
        due = None
        while session.code is None:
            time.sleep(_POLL)
            elapsed = time.monotonic() - session.started
            if elapsed > LONGEST:
                record["complaints"].append(f"no end within {LONGEST:.0f} s")
                return "hung"
            part = session.part
            if fault is not None or not part or order.index(part) < order.index(disturbance.part):
                continue
            if due is None:
                due = elapsed + disturbance.moment * self.reference.seconds.get(disturbance.part, 1.0)
            if elapsed >= due and disturbance.name == plan.SECOND_RECIPE:
                return self.beside(session, record)
            if elapsed >= due and disturbance.name == plan.KILL_AT_A_MOMENT:
                return "killed"
        return "ended"

    def beside(self, session: Session, record: dict[str, Any]) -> str:
        """Start the same recipe beside one that runs, and wait for both."""
        other = self.start(f"{record['run']}.second")
        try:
            other.wait()
            session.wait()
        finally:
            other.kill()
        record["second"] = {"code": other.code, "message": self.relative(other.message()) if other.code else ""}
        if other.code:
            record["complaints"] += [f"the second: {text}" for text in other.complaints()]
        return "ended"

    def judge(self, record: dict[str, Any], session: Session) -> None:
        """Say what a run came to, and what is wrong with it."""
        fired = record.get("fired", 0)
        if record["outcome"] != "ended":
            return
        if record["code"] == 0:
            record["outcome"] = "went on" if fired or "second" in record else "not reached"
            record["complaints"] += self.compared(session)
            (self.root / "finished").touch()
        elif record["name"] == plan.KILL_AT_A_CALL and fired:
            record["outcome"] = "killed"
        else:
            record |= {"outcome": "failed", "message": self.relative(session.message())}
            record["complaints"] += session.complaints()
            if not fired and "second" not in record:
                record["complaints"].insert(0, "failed with nothing done to it")

    def compared(self, session: Session) -> list[str]:
        """How a finished run differs from the undisturbed one."""
        found = [f"differs: {name}" for name in differences(self.reference.results, digests(self.root))]
        if session.table() != self.reference.table:
            found.append("another table")
        return found

    def finish(self, name: str) -> None:
        """The same command once more, undisturbed; its results are compared."""
        session = self.start(name)
        session.wait()
        session.kill()
        complaints = self.compared(session)
        if session.code != 0:
            complaints = [f"cannot be continued: {self.relative(session.message())}"]
        left = {"results": len(self.reference.results), "leftovers": len(leftovers(self.root))}
        self.record["rounds"].append({"run": name, "code": session.code, "differences": complaints, **left})
        if complaints:
            # For a look at what happened; the next round needs a whole run.
            shutil.copytree(self.root, self.folder / f"run.{name}", symlinks=True)
            shutil.rmtree(self.root)
            if (again := self.start(f"{name}.anew")).wait() != 0:
                raise SystemExit(f"fault_campaign.sh: error: an undisturbed run failed: {again.message()}")
        (self.root / "finished").touch()
        self.save()
        self.say(f"{name}: {len(complaints)} differences {complaints[:3] if complaints else ''}")

    def publish(self) -> bool:
        """Write the counts; gives whether nothing was found."""
        counts = counts_of(self.record)
        (self.folder / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")
        text = markdown(counts)
        (self.folder / "counts.md").write_text(text)
        print(text)
        return not counts["found"]


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign; 0 when nothing was found, 1 when something was, 77 when there is no compiler."""
    parser = argparse.ArgumentParser(prog="fault_campaign.sh", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("fault_campaign"), help="folder for runs and counts")
    parser.add_argument("--short", action="store_true", help="stage 1 alone, one fault of each kind")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS], help="what to disturb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="of each part of the recipe")
    parser.add_argument("--kills", type=int, default=5, help="in each of them, half in those that import ESPnet")
    parser.add_argument("--scratch", type=int, default=1, help="rounds that begin with nothing")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="disturb no run after so many")
    args = parser.parse_args(words)
    if args.short:
        settings = Settings(args.seed, rounds=1, kills=2, scratch=0, parts=["corpora"])
    else:
        settings = Settings(args.seed, args.rounds, args.kills, args.scratch, args.parts)
    preset = _HERE / ("short.yaml" if args.short else "preset.yaml")
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"fault_campaign.sh: error: another campaign runs in {args.out}", file=sys.stderr)
            return 1
        try:
            campaign = Campaign(args.out.resolve(), settings, preset, minutes=args.minutes)
        except NoCompiler as error:
            print(f"fault_campaign.sh: error: {error}", file=sys.stderr)
            return 77
        campaign.run()
        return 0 if campaign.publish() else 1


if __name__ == "__main__":
    sys.exit(main())
