"""What a run says of jobs that fail side by side, and of a queue that does not answer."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from local.common.errors import OptionError, RecipeError
from local.common.progress import Bar
from local.common.stages import Stage
from local.common.steps import Step
from local.jobs.slurm.records import read_record
from local.pipeline import dry_run, run, status
from local.pipeline.options import parse
from local.pipeline.pipeline import Job, Pipeline


def fail(name):
    raise RecipeError(f"{name} failed")


def job(name, work=None):
    return Job(name, Stage.FINETUNING, work or (lambda: fail(name)), lambda: False)


def pipeline(tmp_path, jobs=()):
    array = SimpleNamespace(name="joint", stages=(Stage.FINETUNING,), jobs_in=lambda _: jobs)
    recipe = SimpleNamespace(nj=2, ngpu=0, expdir=tmp_path)
    return SimpleNamespace(recipe=recipe, arrays=lambda: [array])


def test_every_training_that_failed_is_told(tmp_path):
    done = []
    jobs = [job("first"), job("second", lambda: done.append("second")), job("third")]
    with pytest.raises(RecipeError, match="first failed\nthird failed"):
        run._in_threads(pipeline(tmp_path), None, jobs)
    assert done == ["second"]
    with pytest.raises(ZeroDivisionError):
        run._in_threads(pipeline(tmp_path), None, [job("first"), job("second", lambda: 1 / 0)])


def test_of_two_recipes_at_the_same_trainings_the_second_does_none(tmp_path):
    """Else each would do one of the trainings, refuse it to the other, and both would fail."""
    done, step = [], Step("train", stage=5, out=tmp_path / "second")
    jobs = [job("first", lambda: done.append("first")), dataclasses.replace(job("second"), steps=(step,))]

    def second_recipe():
        with pytest.raises(RecipeError, match="is running this step"):
            run._in_threads(pipeline(tmp_path), None, jobs)

    step.run(second_recipe)
    assert done == []


def test_a_queue_that_does_not_answer_has_not_said_that_a_job_waits(tmp_path, monkeypatch):
    record = tmp_path / "jobs" / "q" / "joint.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"job": "7", "log": "x", "variable": "N", "units": ["first"]}))
    monkeypatch.setattr(status, "states", lambda number: fail("squeue"))
    ((_, _, number, state, progress),) = status.rows(pipeline(tmp_path, [job("first")]))
    assert (number, state, progress) == ("7_1", "unknown", "squeue does not answer;")
    record.write_text("{")
    with pytest.raises(RecipeError, match=r"joint\.json is damaged: see with `squeue --me`"):
        read_record(tmp_path / "jobs", "joint")


def test_what_runs_on_this_machine_is_told_with_its_progress(tmp_path):
    """Of a training that another process does, of one that was ended, and of steps that are done in part."""
    names = ("train", "stopped", "done", "later")
    running, stopped, done, later = (Step(name, stage=5, out=tmp_path / name) for name in names)
    log = running.out / "espnet" / "train.log"
    told = []

    def seen():
        log.parent.mkdir()
        log.write_text(
            "[vm] INFO: 2/6epoch started. Estimated time to finish: 4 minutes and 2.5 seconds\n"
            "2epoch:train:1-9batch: loss=3\n"
        )
        steps = {"running": (done, running), "stopped": (stopped,), "in part": (done, later), "waiting": (later,)}
        jobs = [dataclasses.replace(job(name), steps=found) for name, found in steps.items()]
        told.extend(row[1:] for row in status.rows(pipeline(tmp_path, jobs)))

    done.run(lambda: None)
    with pytest.raises(ZeroDivisionError):
        stopped.run(lambda: 1 / 0)
    running.run(seen)
    assert told == [
        ("running", "", "running", "epoch 2 of 6, batch 9 (4 minutes and 2 seconds left when it began)"),
        ("stopped", "", "stopped", ""),
        ("in part", "", "waiting", "1 of 2 done"),
        ("waiting", "", "waiting", ""),
    ]


def test_how_far_stage_1_is_stands_in_its_status(tmp_path):
    """Downloads, archives and mixtures take the longest of all on a real corpus, in a process that keeps no log."""
    words = ("--preset=smoke", "--stage=1", "--stop_stage=1")
    whole = Pipeline(parse([*words, *(f"--{name}dir={tmp_path / name}" for name in ("data", "dump", "exp"))]))
    step, _ = next(whole.corpora.work())
    told = []

    def seen():
        with Bar(total=2000, desc="a.zip", unit="B", unit_scale=True) as bar:
            bar.update(1000)
            bar.refresh()
            told.extend(row[3:] for row in status.rows(whole))

    step.run(seen)
    ((state, progress),) = told
    assert state == "running"
    assert progress.startswith("a.zip: 1.00k of 2.00kB, ")
    assert progress.endswith(" left")
    assert not [path for path in step.out.iterdir() if "progress" in path.name]


def test_what_stage_2_runs_is_told_like_every_training(tmp_path):
    """The SSL model's pre-training, whose log lies elsewhere, and the steps of one job."""
    words = ("--preset=smoke", "--stage=2", "--stop_stage=2")
    whole = Pipeline(parse([*words, *(f"--{name}dir={tmp_path / name}" for name in ("data", "dump", "exp"))]))
    for name in ("train", "dev"):
        done = whole.recipe.dump_done(name)
        done.parent.mkdir(parents=True)
        done.write_text(json.dumps({"fingerprint": name}))

    def state(name):
        ((found),) = [row[3:] for row in status.rows(whole) if row[1] == name]
        return found

    assert state("ssl") == ("waiting", "")
    log = whole.experiment.ssl.out / "hubert" / "train.log"
    told = []

    def seen():
        log.parent.mkdir()
        log.write_text("[vm] INFO: 1/2epoch started\n")
        told.append(state("ssl"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole.experiment.ssl.run(seen)
    assert told == [("running", "epoch 1 of 2")]
    assert state("ssl") == ("stopped", "epoch 1 of 2")
    tokens = next(step for job in whole.data_jobs() for step in job.steps if step.name == "tokens")
    tokens.run(lambda: told.append(state("data")))
    assert told[1:] == [("running", "")]
    assert state("data") == ("waiting", "1 of 3 done")


@pytest.mark.parametrize(("key", "value"), [("max_epoch", "many"), ("max_epoch", None), ("batch_size", 0)])
def test_how_long_a_training_is_must_be_a_number(key, value):
    dry_run._check_counts({"max_epoch": 3, "num_iters_per_epoch": None}, "config of stage 3 se")
    with pytest.raises(OptionError, match=f"config of stage 3 se: {key}: {value!r} is not accepted"):
        dry_run._check_counts({key: value}, "config of stage 3 se")
