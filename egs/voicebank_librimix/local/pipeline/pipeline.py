"""What each stage consists of: arrays of jobs, in order; the jobs of an array are independent of each other."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Literal

from local.common.errors import MissingInput
from local.common.recipe import Recipe, Run
from local.common.sets import COMBINED
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.catalogue import Catalogue
from local.pipeline.options import Invocation
from local.stages.data import combine_sets, final_steps, prepare_set, prepare_tokens, set_steps
from local.stages.decode import copy_transcripts, decode, own_pairs, shard
from local.stages.development import follow
from local.stages.experiment import Experiment
from local.stages.packing import pack_run, pack_step, upload_run, upload_step
from local.stages.phones import prepare_phones
from local.stages.report import report, report_step
from local.stages.score import SetScoring, score_all, scorings_of
from local.stages.ssl_model import make_ssl_model
from local.stages.train import train


@dataclasses.dataclass(frozen=True)
class Job:
    """A piece of work that can be done in a process of its own.

    Args:
        name: What it is called in messages; unique in its array.
        stage: Which it belongs to.
        work: Does what is left to do of it.
        done: Whether nothing is left; may raise MissingInput.
        steps: What it runs, where others may be at it; for a look at their locks.
    """

    name: str
    stage: Stage
    work: Callable[[], object]
    done: Callable[[], bool]
    steps: Sequence[Step] = ()

    def is_done(self) -> bool:
        """Whether nothing is left to do; not where an earlier stage is still to be done."""
        try:
            return self.done()
        except MissingInput:
            return False


# How the jobs of an array are done on this machine: in the recipe's process, side by side in its threads since each
# waits for a training, or in processes of their own.
Here = Literal["in turn", "in threads", "in processes"]


@dataclasses.dataclass(frozen=True)
class JobArray:
    """Jobs that are independent of each other.

    Args:
        name: What it is called in messages and in the queue.
        stages: The stages it belongs to.
        jobs: Lists the jobs. To be called when the arrays before it are done: what is there decides.
        kind: One of local.jobs.resources.KINDS; default: its stage's.
        here: How its jobs are done on this machine.
        show: It is run even where nothing is left to do, and its log is printed when it has ended.
        asked: Whether a preset asks for it.
    """

    name: str
    stages: tuple[Stage, ...]
    jobs: Callable[[Pipeline], list[Job]]
    kind: str = ""
    here: Here = "in turn"
    show: bool = False
    asked: Callable[[Recipe], bool] = lambda recipe: True

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", self.kind or self.stages[0].kind)

    @property
    def label(self) -> str:
        """Stages and name, for messages."""
        return f"[stage {' and '.join(map(str, self.stages))}] {self.name}"

    def jobs_in(self, pipeline: Pipeline) -> list[Job]:
        """The jobs that belong to the stages asked for."""
        return [job for job in self.jobs(pipeline) if job.stage in pipeline.invocation.stages]

    def command(self, job: Job, options: Sequence[str]) -> list[str]:
        """The program that does one of its jobs."""
        return [sys.executable, "-m", "local.pipeline.job", self.name, job.name, *options]


class Pipeline:
    """The work of one invocation.

    Args:
        invocation: What was asked for.
    """

    def __init__(self, invocation: Invocation):
        self.invocation, self.recipe = invocation, invocation.recipe
        self.corpora = Catalogue(self.recipe, accepted=invocation.args.accept_licenses)
        self.experiment = Experiment(self.recipe, invocation.runs)

    def arrays(self) -> list[JobArray]:
        """Those of the stages asked for, in order."""
        return [array for array in ARRAYS if {*array.stages} & {*self.invocation.stages} and array.asked(self.recipe)]

    @cached_property
    def scorings(self) -> list[SetScoring]:
        """What stage 7 does."""
        return scorings_of(self.experiment)

    def corpora_jobs(self) -> list[Job]:
        """Stage 1."""

        def work() -> None:
            for step, action in self.corpora.work():
                step.run(action)

        steps = [step for step, _ in self.corpora.work()]
        return [Job("corpora", Stage.CORPORA, work, lambda: _all_done(steps), steps)]

    def dump_jobs(self) -> list[Job]:
        """Stage 2: a job per set."""

        def job(name: str) -> Job:
            work, steps = partial(prepare_set, self.corpora, name), set_steps(self.corpora, name)
            return Job(f"dump {name}", Stage.DATA, work, lambda: _all_done(steps), steps)

        return [job(name) for name in self.corpora.sets]

    def data_jobs(self) -> list[Job]:
        """Stage 2: what is made of all sets."""

        def work() -> None:
            for name in COMBINED:
                combine_sets(self.recipe, name)
            if self.recipe.heads:
                prepare_tokens(self.recipe)
            if "pr" in self.recipe.preset["heads"]:
                prepare_phones(self.recipe)

        steps = final_steps(self.recipe)
        return [Job("data", Stage.DATA, work, lambda: _all_done(steps), steps)]

    def ssl_jobs(self) -> list[Job]:
        """Stage 2: the SSL model."""
        step = self.experiment.ssl
        work = partial(make_ssl_model, self.recipe, step, resume=self.invocation.resume)
        return [Job("ssl", Stage.DATA, work, step.is_done, (step,))]

    def _training(self, step: Step, stage: Stage) -> Job:
        work = partial(train, self.recipe, step, resume=self.invocation.resume)
        return Job(step.out.name, stage, work, step.is_done, (step,))

    def train_jobs(self) -> list[Job]:
        """Stages 3 and 4: neither needs the other."""
        heads = self.experiment.heads.values()
        front_end = self._training(self.experiment.se, Stage.ENHANCEMENT)
        return [front_end, *(self._training(step, Stage.RECOGNITION) for step in heads)]

    def joint_jobs(self) -> list[Job]:
        """Stage 5: a job per run."""
        return [self._training(step, Stage.FINETUNING) for step in self.experiment.fine_tunings.values()]

    @property
    def shards(self) -> int:
        """How many processes share the decoding."""
        return self.invocation.args.shards or min(self.recipe.nj, len(own_pairs(self.experiment)))

    def decode_jobs(self) -> list[Job]:
        """Stage 6: a job per shard of what is decoded."""
        experiment, heads = self.experiment, self.recipe.recognizers

        def job(number: int) -> Job:
            pairs = shard(experiment, number, self.shards)

            def work() -> None:
                decode(experiment, [pair for pair in pairs if not experiment.is_decoded(*pair)])

            def done() -> bool:
                return all(experiment.is_decoded(*pair) for pair in pairs)

            steps = [experiment.recognize(*pair, head) for pair in pairs for head in heads]
            return Job(f"decoding {number}", Stage.DECODING, work, done, steps)

        return [job(number) for number in range(1, self.shards + 1)]

    def development_jobs(self) -> list[Job]:
        """Stage 6: a job per fine-tuning whose models a judge follows."""

        def job(run: Run) -> Job:
            step = self.experiment.development(run)
            return Job(
                f"development {run.name}", Stage.DECODING, partial(follow, self.experiment, run), step.is_done, (step,)
            )

        return [job(run) for run in self.experiment.fine_tunings]

    def transcript_jobs(self) -> list[Job]:
        """Stage 6: what is taken over from the same audio in another set."""
        experiment = self.experiment

        def done() -> bool:
            return all(experiment.is_decoded(*pair) for pair in experiment.pairs)

        return [Job("transcripts", Stage.DECODING, lambda: copy_transcripts(experiment), done)]

    def score_jobs(self) -> list[Job]:
        """Stage 7: one job, whose processes share all sets."""
        work = partial(score_all, self.recipe, self.scorings)
        return [Job("score", Stage.SCORING, work, lambda: _all_done(scoring.step for scoring in self.scorings))]

    def report_jobs(self) -> list[Job]:
        """Stage 8."""
        work = partial(report, self.experiment, self.scorings, command=self.invocation.args.command)
        return [Job("report", Stage.REPORT, work, lambda: report_step(self.experiment, self.scorings).is_done())]

    def pack_jobs(self) -> list[Job]:
        """Stage 9: a job per run."""

        def job(run: Run) -> Job:
            work = partial(pack_run, self.experiment, run, self.corpora)
            return Job(f"pack {run.name}", Stage.PACKING, work, lambda: pack_step(self.experiment, run).is_done())

        return [job(run) for run in self.experiment.fine_tunings]

    def upload_jobs(self) -> list[Job]:
        """Stage 10: a job per run; without a repository they only say what would be uploaded."""
        repository = self.invocation.args.upload_repo

        def job(run: Run) -> Job:
            work = partial(upload_run, self.experiment, run, repository=repository)

            def done() -> bool:
                return bool(repository) and upload_step(self.experiment, run, repository=repository).is_done()

            return Job(f"upload {run.name}", Stage.UPLOAD, work, done)

        return [job(run) for run in self.experiment.fine_tunings]


def _all_done(steps: Iterable[Step]) -> bool:
    return all(step.is_done() for step in steps)


# In order: what the jobs of an array need was left by the arrays before it.
ARRAYS = (
    JobArray("corpora", (Stage.CORPORA,), Pipeline.corpora_jobs),
    JobArray("dump", (Stage.DATA,), Pipeline.dump_jobs),
    JobArray("data", (Stage.DATA,), Pipeline.data_jobs),
    JobArray("ssl", (Stage.DATA,), Pipeline.ssl_jobs, kind="train"),
    JobArray("train", (Stage.ENHANCEMENT, Stage.RECOGNITION), Pipeline.train_jobs),
    JobArray("joint", (Stage.FINETUNING,), Pipeline.joint_jobs, here="in threads"),
    JobArray("decode", (Stage.DECODING,), Pipeline.decode_jobs, here="in processes"),
    JobArray(
        "development",
        (Stage.DECODING,),
        Pipeline.development_jobs,
        here="in processes",
        asked=lambda recipe: bool(recipe.development_judge),
    ),
    JobArray("transcripts", (Stage.DECODING,), Pipeline.transcript_jobs, kind="cpu"),
    JobArray("score", (Stage.SCORING,), Pipeline.score_jobs),
    JobArray("report", (Stage.REPORT,), Pipeline.report_jobs, show=True),
    JobArray("pack", (Stage.PACKING,), Pipeline.pack_jobs),
    JobArray("upload", (Stage.UPLOAD,), Pipeline.upload_jobs, show=True),
)
