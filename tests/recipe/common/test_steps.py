"""A step runs once, starts clean after a change, resumes after an interruption, and writes atomically."""

import errno
import fcntl
import json
import os
import re
import shutil
import threading

import pytest

from espnet_plugins.atomic import remove
from local.common.errors import MissingInput, RecipeError
from local.common.output import atomic_path
from local.common.program import run_main
from local.common.steps import Step


def make_step(tmp_path, *, word="a", **kwargs):
    return Step("write", stage=3, out=tmp_path / "out", settings={"nested": {"word": word}}, **kwargs)


def write(step, text="x"):
    (step.out / "result.txt").write_text(text)


def test_runs_once(tmp_path, capsys):
    step = make_step(tmp_path)
    assert step.run(lambda: write(step))
    assert not step.run(lambda: pytest.fail("ran twice"))
    assert "nothing to do" in capsys.readouterr().out


def test_a_changed_setting_runs_again_from_a_clean_start_and_says_so(tmp_path, capsys):
    step = make_step(tmp_path)
    step.run(lambda: write(step))
    changed = make_step(tmp_path, word="b")

    def action():
        assert not (changed.out / "result.txt").exists()
        write(changed, "new")

    assert changed.run(action)
    assert "nested.word: a -> b" in capsys.readouterr().out


def test_a_change_travels_down_the_chain(tmp_path):
    first = make_step(tmp_path)
    first.run(lambda: write(first))
    second = Step("use", stage=4, out=tmp_path / "second", inputs={"first": (first.done, 3)})
    second.run(lambda: None)
    assert second.is_done()
    changed = make_step(tmp_path, word="b")
    changed.run(lambda: write(changed))
    assert not second.is_done()


def test_what_was_made_again_is_news_only_where_content_counts(tmp_path):
    """A setting that changes nothing, and the same settings that give something else: other code, say."""
    for by_content in (True, False):
        out = tmp_path / str(by_content)

        def first(word="a", out=out, by_content=by_content):
            return make_step(out, word=word, outputs=("result.txt",), by_content=by_content)

        first().run(lambda: write(first()))
        second = Step("use", stage=4, out=out / "second", inputs={"first": (first().done, 3)})
        second.run(lambda: None)
        first("b").run(lambda: write(first()))
        assert second.is_done() == by_content
        first().run(lambda: write(first()))
        assert second.is_done()
        first().done.unlink()
        first().run(lambda: write(first(), "y"))
        assert second.is_done() != by_content


def test_a_changed_input_file_runs_again(tmp_path):
    (tmp_path / "in.txt").write_text("1")
    step = make_step(tmp_path, inputs={"list": (tmp_path / "in.txt", 1)})
    step.run(lambda: write(step))
    (tmp_path / "in.txt").write_text("2")
    assert step.run(lambda: write(step))


def test_an_interrupted_step_finds_its_partial_work(tmp_path):
    step = make_step(tmp_path)

    def interrupted():
        write(step, "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step.run(interrupted)
    seen = []
    assert step.run(lambda: seen.append((step.out / "result.txt").read_text()))
    assert seen == ["half"]


def test_partial_work_of_other_settings_is_not_resumed(tmp_path):
    step = make_step(tmp_path)
    with pytest.raises(ZeroDivisionError):
        step.run(lambda: (write(step, "half"), 1 / 0))
    changed = make_step(tmp_path, word="b")
    changed.run(lambda: write(changed, str((changed.out / "result.txt").exists())))
    assert (changed.out / "result.txt").read_text() == "False"


def test_superseded_results_are_kept_once(tmp_path):
    step = make_step(tmp_path, outputs=("result.txt",), keep_previous=True)
    step.run(lambda: write(step, "old"))
    changed = make_step(tmp_path, word="b", outputs=("result.txt",), keep_previous=True)
    changed.run(lambda: write(changed, "new"))
    assert (step.out / "result.txt.previous").read_text() == "old"


def test_a_deleted_output_is_made_again(tmp_path):
    step = make_step(tmp_path, outputs=("result.txt",))
    step.run(lambda: write(step))
    (step.out / "result.txt").unlink()
    assert step.run(lambda: write(step))


def test_a_missing_input_names_the_file_and_the_stage(tmp_path):
    step = make_step(tmp_path, inputs={"list": (tmp_path / "absent.txt", 2)})
    with pytest.raises(MissingInput, match=r"absent\.txt is missing: stage 2 makes it") as error:
        step.run(lambda: None)
    assert error.value.exit_code == 2
    assert not step.out.exists()


def test_a_promised_output_that_is_not_there_is_an_error(tmp_path):
    step = make_step(tmp_path, outputs=("result.txt",))
    with pytest.raises(RecipeError, match=r"ended without .*result\.txt"):
        step.run(lambda: None)
    assert not step.done.exists()


def test_two_processes_cannot_run_one_step(tmp_path):
    step = make_step(tmp_path)
    other = make_step(tmp_path)
    with pytest.raises(RecipeError, match=rf"process {os.getpid()} on .* is running this step"):
        step.run(lambda: other.run(lambda: None))


def test_looking_at_a_step_leaves_it_as_it_is(tmp_path):
    """A status that is asked for again and again must not write into locks."""
    step, seen = make_step(tmp_path), []
    with pytest.raises(ZeroDivisionError):
        step.run(lambda: seen.append(make_step(tmp_path).state()) or 1 / 0)
    os.utime(step._lock, (1, 1))
    seen.append(step.state())
    step.check_free()
    assert seen == ["running", "stopped"]
    assert step._lock.stat().st_mtime == 1


def test_a_step_begins_though_somebody_is_looking(tmp_path):
    step = make_step(tmp_path)
    step.out.mkdir(parents=True)
    step._lock.touch()
    with step._lock.open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        threading.Timer(0.15, lambda: fcntl.flock(looked_at, fcntl.LOCK_UN)).start()
        assert step.run(lambda: write(step))


def test_a_broken_record_counts_as_none(tmp_path):
    step = make_step(tmp_path)
    step.run(lambda: write(step))
    step.done.write_text('{"finger')
    assert step.run(lambda: write(step))
    assert json.loads(step.done.read_text())["settings"] == {"nested": {"word": "a"}}


def test_atomic_path_leaves_the_old_file_on_failure(tmp_path):
    target = tmp_path / "list.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as tmp:
            tmp.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "a.txt"), "No space left on device: 'a.txt'"),
        (OSError(5, "Input/output error"), r"Input/output error \(in .*common/test_steps.py, main\)"),
        (MemoryError(), "there is not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_one_line(error, said, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_main(main)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(f": error: .*{said}", line)
    assert "run the same command again" in line


def test_a_damaged_record_is_told_and_that_of_an_input_names_the_stage_again(tmp_path, capsys):
    first = make_step(tmp_path)
    first.run(lambda: write(first))
    for damage in ('{"finger', "[]", "\x00"):
        first.done.write_text(damage)
        second = Step("use", stage=4, out=tmp_path / "second", inputs={"first": (first.done, 3)})
        with pytest.raises(RecipeError, match=rf"{first.done.name} is damaged: remove it and run its stage again"):
            second.run(lambda: None)
    assert first.run(lambda: write(first))
    assert f"{first.done.name} is damaged and counts as missing" in capsys.readouterr().out


def test_an_input_that_cannot_be_read_is_named(tmp_path):
    made = tmp_path / "made" / ".first.done"
    made.mkdir(parents=True)
    with pytest.raises(RecipeError, match=rf"cannot read {made}: Is a directory"):
        make_step(tmp_path, inputs={"first": (made, 1)}).run(lambda: None)


def test_what_cannot_be_removed_is_named_with_its_path(tmp_path, monkeypatch):
    """shutil.rmtree names what is in the folder alone."""

    def refuse(_):
        raise OSError(errno.EROFS, "Read-only file system", "a.txt")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(OSError, match=f"Read-only file system: '{tmp_path}'"):
        remove(tmp_path)
