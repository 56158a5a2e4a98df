"""Steps that run once: checked inputs, a fingerprint, a `.done` file, a clean start after a change."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from espnet_plugins import atomic
from local.common.progress import told_in

# Files up to this size are compared by content, larger ones by size and time of change.
_HASHED_BYTES = 64 * 2**20
# How often, and how long, a lock is awaited that somebody may only be looking at.
_LOOKS, _LOOK_SECONDS = 4, 0.1
_REPOSITORY = f"{Path(__file__).resolve().parents[4]}{os.sep}"


class RecipeError(Exception):
    """Something the user can mend; shown as one line, exit code 1."""

    exit_code = 1


class MissingInput(RecipeError):
    """A file that an earlier stage makes is not there; exit code 2."""

    exit_code = 2

    def __init__(self, path: Path, stage: int, *, why: str = "is missing"):
        super().__init__(f"{path} {why}: stage {stage} makes it. Run with --stage {stage} first.")
        self.path, self.stage = path, stage
        self._given = (path, stage, why)

    def __reduce__(self) -> tuple[Any, ...]:
        """Comes whole from one process to another."""
        path, stage, why = self._given
        return partial(MissingInput, why=why), (path, stage)


class OptionError(RecipeError):
    """A wrong option or setting; exit code 2."""

    exit_code = 2


def all_in_one(errors: Sequence[RecipeError]) -> RecipeError:
    """One error that says what several jobs say, each thing once.

    Example:
        >>> missing = MissingInput(Path("dump/train"), 2)
        >>> all_in_one([missing, missing]) is missing
        True
        >>> print(all_in_one([RecipeError("no disk"), RecipeError("no memory")]))
        no disk
        no memory
    """
    said = {str(error): error for error in errors}
    return next(iter(said.values())) if len(said) == 1 else RecipeError("\n".join(said))


def log(message: str) -> None:
    """Print a line with the time, at once."""
    print(f"{time.strftime('%FT%T')} {message}", flush=True)


@contextmanager
def atomic_path(path: Path):
    """The library's atomic_path(), with an error for the user.

    Raises:
        RecipeError: When it cannot be written, a full disk among the reasons.

    Example:
        >>> with atomic_path(Path("/dev/null/list.txt")) as tmp:
        ...     pass
        Traceback (most recent call last):
        local.common.steps.RecipeError: cannot write /dev/null/list.txt: File exists
    """
    try:
        with atomic.atomic_path(path) as tmp:
            yield tmp
    except OSError as error:
        raise RecipeError(f"cannot write {path}: {error.strerror or error}") from error


def digest_of(value: Any) -> str:
    """What identifies settings: 16 characters that are the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _fingerprint_of(path: Path) -> str:
    """The fingerprint of an input: for a step's `.done` what it says of the step, else the file's content."""
    try:
        if path.name.endswith(".done"):
            record = _read_record(path)
            if record is None:
                raise RecipeError(f"{path} is damaged: remove it and run its stage again")
            return record.get("content", record["fingerprint"])
        stat = path.stat()
        if path.is_dir() or stat.st_size > _HASHED_BYTES:
            return digest_of([stat.st_size, stat.st_mtime_ns])
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        # A read that fails names no file by itself.
        raise RecipeError(f"cannot read {path}: {error.strerror or error}") from error


def _read_record(path: Path) -> dict[str, Any] | None:
    """What a step has left of itself; None where that is no such record."""
    try:
        record = {"inputs": {}, "settings": {}, **json.loads(path.read_text(encoding="utf-8"))}
        kinds = {"fingerprint": str, "inputs": dict, "settings": dict}
        return record if record["fingerprint"] and all(isinstance(record[k], kinds[k]) for k in kinds) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name the leaves in which two settings differ."""
    found = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested settings by their dotted names."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        leaves.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return leaves


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
        return {role: _fingerprint_of(path) for role, (path, _) in self.inputs.items()}

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
            grown = "; ".join(_changes(old["settings"], record["settings"]))
            log(f"[stage {self.stage}] {self.label}: {grown}: continuing")
            self.done.unlink(missing_ok=True)
        elif old is not None and old["fingerprint"] != record["fingerprint"]:
            changed = _changes(old["settings"], record["settings"])
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
            finished["content"] = digest_of([_fingerprint_of(self.out / name) for name in self.outputs])
        self._write(self.done, finished)
        self._started.unlink()
        log(f"[stage {self.stage}] {self.label}: done in {time.monotonic() - start:.0f} s")

    def _grew(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether nothing changed but settings of `extends`, to larger values."""
        if old["inputs"] != new["inputs"] or old["fingerprint"] == new["fingerprint"]:
            return False
        allowed, grown = _flat(old["settings"]), _flat(new["settings"])
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
            record = _read_record(path)
        except FileNotFoundError:
            return None
        if record is None:
            log(f"[stage {self.stage}] {self.label}: {path.name} is damaged and counts as missing")
        return record

    @staticmethod
    def _write(path: Path, record: Mapping[str, Any]) -> None:
        with atomic_path(path) as tmp:
            tmp.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _told_by_the_machine(error: OSError | MemoryError) -> str:
    """What a disk or the memory says, and where in the recipe it was said: that names no file where a read fails."""
    what = str(error) or "there is not enough memory"
    # Without the frame of run_main().
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "site-packages" not in frame.filename and _REPOSITORY in frame.filename]
    frame = (own or frames)[-1]
    where = f"{frame.filename.removeprefix(_REPOSITORY)}, {frame.name}"
    return f"{what} (in {where}); what is finished stays: run the same command again"


def _program() -> str:
    """What is running, for messages."""
    return sys.argv[0].rsplit("/", 1)[-1]


def run_main(main: Callable[[], None]) -> None:
    """Call a module's main; turn an error that the user can mend into one clear line and its exit code.

    Such are a RecipeError, with its own code, and what a disk, the memory or the limits of this machine refuse.
    Ctrl-C gives one line and 130, also where a program let it end its imports without one. Where nobody reads the
    output any more (`run.sh --status | head`), it ends like other programs, with 141.
    """
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
        sys.stdout.flush()
    except (RecipeError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
            # What is still buffered goes nowhere, instead of failing again when python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        told = str(error) if isinstance(error, RecipeError) else _told_by_the_machine(error)
        print(f"{_program()}: error: {told}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, RecipeError) else 1)
    except KeyboardInterrupt:
        print(f"{_program()}: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
