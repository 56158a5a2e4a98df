"""Steps that run once: checked inputs, a fingerprint, a `.done` file, a clean start after a change."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espnet_plugins import atomic
from local.common.errors import MissingInput, RecipeError
from local.common.fingerprints import changes, digest_of, fingerprint_of, flat, read_record
from local.common.output import atomic_path, log
from local.common.progress import told_in

# How often, and how long, a lock is awaited that somebody may only be looking at.
_LOOKS, _LOOK_SECONDS = 4, 0.1


class Step:
    """One piece of work that is skipped while its inputs and settings stay as they were.

    The step leaves `<out>/.<name>.done`, a JSON file with the fingerprint of its settings and inputs. A
    later step names that file as its own input, so that a change travels down the chain. A step that was
    interrupted is resumed when its fingerprint is unchanged, and starts clean when it is not.

    Args:
        name: What the step is called in messages and in the name of its `.done`.
        stage: The stage of run.sh it belongs to.
        out: The directory it writes into.
        inputs: Role -> the step that makes it, or (path, stage that makes it). A path ending in `.done` stands for
            that whole step.
        settings: Whatever else the result depends on; must survive JSON.
        outputs: Names below `out` that the step makes, removed before a clean start and required to exist
            afterwards. Default: the whole of `out`.
        keep_previous: Rename superseded outputs to `<name>.previous` instead of removing them.
        extends: Settings (`a.b`) whose growth, and nothing else, continues the step where it ended.
        by_content: What the outputs hold, small files all of them, goes to the steps that build on this one, instead
            of what they were made from: a result that came out otherwise when it was made again is news to them.

    Example:
        >>> import tempfile
        >>> step = Step("greet", stage=1, out=Path(tempfile.mkdtemp()) / "greet", settings={"word": "hi"})
        >>> step.run(lambda: (step.out / "a.txt").write_text("hi"))  # doctest: +ELLIPSIS
        20...[stage 1] greet (...)
        20...[stage 1] greet (...): done in 0 s
        True
        >>> step.run(lambda: 1 / 0)  # doctest: +ELLIPSIS
        20...[stage 1] greet (...): nothing to do
        False
    """

    def __init__(
        self,
        name: str,
        *,
        stage: int,
        out: Path,
        inputs: Mapping[str, Step | tuple[Path, int]] | None = None,
        settings: Mapping[str, Any] | None = None,
        outputs: tuple[str, ...] = (),
        keep_previous: bool = False,
        extends: tuple[str, ...] = (),
        by_content: bool = False,
    ):
        self.name, self.stage, self.out = name, stage, Path(out)
        self.inputs: dict[str, tuple[Path, int]] = {
            role: (made.done, made.stage) if isinstance(made, Step) else made for role, made in (inputs or {}).items()
        }
        self.settings = json.loads(json.dumps(settings or {}, default=str))
        self.outputs = outputs
        self.keep_previous = keep_previous
        self.extends = extends
        self.by_content = by_content

    @property
    def label(self) -> str:
        """What the step is called in messages: its name and the directory it works in."""
        return f"{self.name} ({self.out.parent.name}/{self.out.name})"

    @property
    def done(self) -> Path:
        """The file that says the step is finished; the input of steps that build on it."""
        return self.out / f".{self.name}.done"

    @property
    def _started(self) -> Path:
        return self.out / f".{self.name}.started"

    def check_inputs(self) -> dict[str, str]:
        """Give the fingerprint of every input.

        Raises:
            MissingInput: For the first one that is not there, naming the stage that makes it.
        """
        for path, stage in self.inputs.values():
            if not path.exists():
                raise MissingInput(path, stage)
        return {role: fingerprint_of(path) for role, (path, _) in self.inputs.items()}

    def record(self) -> dict[str, Any]:
        """What identifies this run of the step."""
        inputs = self.check_inputs()
        return {
            "fingerprint": digest_of([self.name, self.settings, inputs]),
            "inputs": inputs,
            "settings": self.settings,
        }

    def is_done(self) -> bool:
        """Whether the step finished with the inputs and settings of now."""
        old = self._read(self.done)
        complete = all((self.out / name).exists() for name in self.outputs)
        return old is not None and complete and old["fingerprint"] == self.record()["fingerprint"]

    def run(self, action: Callable[[], Any]) -> bool:
        """Run `action` unless the step is done.

        Args:
            action: Does the work. It finds its earlier, partial outputs when it was interrupted.

        Returns:
            Whether the action ran.

        Raises:
            MissingInput: When an input is not there.
            RecipeError: When the action ends without one of the promised outputs.
        """
        record = self.record()
        if not self.is_done():
            self.out.mkdir(parents=True, exist_ok=True)
            with self._locked():
                # Another process may have done it between the first look and the lock.
                if not self.is_done():
                    self._run(record, action)
                    return True
        log(f"[stage {self.stage}] {self.label}: nothing to do")
        return False

    def state(self) -> str:
        """Say "done", "running" (in whatever process), "stopped" before its end, or "waiting" for its turn."""
        try:
            if self.is_done():
                return "done"
        except MissingInput:
            return "waiting"
        if self._owner():
            return "running"
        return "stopped" if self._started.exists() else "waiting"

    def check_free(self) -> None:
        """Make sure that no other process is running this step.

        Raises:
            RecipeError: When one is, naming it.
        """
        if owner := self._owner():
            raise self._taken(owner)

    def _owner(self) -> str | None:
        """Who is running this step, in whatever process; None where nobody is. Nothing is written."""
        try:
            with self._lock.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return lock.read().strip() or "another process"
        except FileNotFoundError:
            pass
        return None

    def _taken(self, owner: str) -> RecipeError:
        return RecipeError(
            f"[stage {self.stage}] {self.label}: {owner} is running this step with the same directories; "
            "wait for it or end it"
        )

    @property
    def _lock(self) -> Path:
        return self.out / f".{self.name}.lock"

    @property
    def _progress(self) -> Path:
        return self.out / f".{self.name}.progress"

    def progress(self) -> str:
        """How far the step is, in words, while some process runs it; empty where that does not tell."""
        try:
            return self._progress.read_text()
        except OSError:
            return ""

    @contextmanager
    def _locked(self):
        """Keep a second process out: two that write into one directory would spoil each other's work."""
        with self._lock.open("a+") as lock:
            # Whoever only looks (_owner) has it for a moment.
            for patience in range(_LOOKS, -1, -1):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not patience:
                        lock.seek(0)
                        raise self._taken(lock.read().strip() or "another process") from None
                    time.sleep(_LOOK_SECONDS)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}")
            lock.flush()
            yield

    def _run(self, record: Mapping[str, Any], action: Callable[[], Any]) -> None:
        old = self._read(self.done) or self._read(self._started)
        if old is not None and self._grew(old, record):
            grown = "; ".join(changes(old["settings"], record["settings"]))
            log(f"[stage {self.stage}] {self.label}: {grown}: continuing")
            self.done.unlink(missing_ok=True)
        elif old is not None and old["fingerprint"] != record["fingerprint"]:
            changed = changes(old["settings"], record["settings"])
            roles = [role for role in record["inputs"] if old["inputs"].get(role) != record["inputs"][role]]
            changed += [f"input '{role}'" for role in roles]
            shown = "; ".join(changed[:4]) + (f"; and {len(changed) - 4} more" if len(changed) > 4 else "")
            log(f"[stage {self.stage}] {self.label}: changed since the last run ({shown}), running again")
            self._clear()
        elif old is not None:
            log(f"[stage {self.stage}] {self.label}: resuming")
            self.done.unlink(missing_ok=True)
        else:
            log(f"[stage {self.stage}] {self.label}")
            # Whatever lies here without a record belongs to no known settings.
            self._clear()
        self._write(self._started, record)
        start = time.monotonic()
        with told_in(self._progress):
            action()
        missing = [name for name in self.outputs if not (self.out / name).exists()]
        if missing:
            raise RecipeError(f"{self.name} ended without {self.out / missing[0]}")
        finished = {**record, "seconds": round(time.monotonic() - start, 1)}
        if self.by_content:
            finished["content"] = digest_of([fingerprint_of(self.out / name) for name in self.outputs])
        self._write(self.done, finished)
        self._started.unlink()
        log(f"[stage {self.stage}] {self.label}: done in {time.monotonic() - start:.0f} s")

    def _grew(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether nothing changed but settings of `extends`, to larger values."""
        if old["inputs"] != new["inputs"] or old["fingerprint"] == new["fingerprint"]:
            return False
        allowed, grown = flat(old["settings"]), flat(new["settings"])
        differing = {key for key in {*allowed, *grown} if allowed.get(key) != grown.get(key)}
        return differing <= set(self.extends) and all(
            key in allowed and key in grown and grown[key] > allowed[key] for key in differing
        )

    def _clear(self) -> None:
        everything = [path for path in self.out.iterdir() if path != self._lock]
        targets = [self.out / name for name in self.outputs] or everything
        for target in [*targets, self.done, self._started]:
            if self.keep_previous and target in targets and target.exists():
                previous = target.with_name(target.name + ".previous")
                atomic.remove(previous)
                target.rename(previous)
            else:
                atomic.remove(target)

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            record = read_record(path)
        except FileNotFoundError:
            return None
        if record is None:
            log(f"[stage {self.stage}] {self.label}: {path.name} is damaged and counts as missing")
        return record

    @staticmethod
    def _write(path: Path, record: Mapping[str, Any]) -> None:
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
