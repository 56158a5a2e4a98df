"""The steps of one experiment, from the SSL model to the transcripts, each built once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from espnet_plugins.contents import sha256_of
from local.common.errors import MissingInput
from local.common.recipe import Recipe, Run
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.data import tokens_step
from local.stages.decode_steps import development_step, enhance_step, is_one_model, recognize_step
from local.stages.espnet_commands import merged_config
from local.stages.judges import judge_settings
from local.stages.phones import phones_step
from local.stages.ssl_model import upstream_step
from local.stages.systems import System, systems_of
from local.stages.train_config import head_config, joint_modules, se_config
from local.stages.train_steps import head_step, joint_step, se_step, tune_step

# A system on a test set, by their names.
Pair = tuple[str, str]


class Experiment:
    """The steps of an invocation and how they build on each other.

    A step is built when it is first asked for and then kept, so that configurations are read and data directories
    compared once. Ask behind the stages that it builds on: which sets share their audio is known when stage 2 is done.

    Args:
        recipe: The invocation.
        runs: Of stage 5.
    """

    def __init__(self, recipe: Recipe, runs: Sequence[Run]):
        self.recipe, self.runs = recipe, tuple(runs)
        self._enhancements: dict[Pair, Step] = {}
        self._recognitions: dict[tuple[Pair, str], Step] = {}
        self._developments: dict[Run, Step] = {}

    @cached_property
    def ssl(self) -> Step:
        """Leaves the SSL model."""
        return upstream_step(self.recipe)

    @cached_property
    def phones(self) -> Step:
        """Leaves the data whose transcripts are phones."""
        return phones_step(self.recipe)

    @cached_property
    def se(self) -> Step:
        """Leaves the front-end."""
        return se_step(self.recipe)

    @cached_property
    def heads(self) -> dict[str, Step]:
        """Leave the recognizers that the preset names."""
        if not self.recipe.heads:
            return {}
        data = {"asr": tokens_step(self.recipe), "pr": self.phones}
        return {head: head_step(self.recipe, head, ssl=self.ssl, data=data[head]) for head in self.recipe.heads}

    @cached_property
    def fine_tunings(self) -> dict[Run, Step]:
        """Leave the joint models; where no recognizer is trained, front-ends."""
        if not self.recipe.heads:
            return {run: tune_step(self.recipe, run, se=self.se, ssl=self.ssl) for run in self.runs}
        modules = joint_modules(se_config(self.recipe), head_config(self.recipe, "asr"))
        return {
            run: joint_step(self.recipe, run, modules=modules, se=self.se, asr=self.heads["asr"]) for run in self.runs
        }

    @cached_property
    def systems(self) -> dict[str, System]:
        """What is compared, by name: the references first, then one per run."""
        compared = systems_of(self.se, self.heads.get("asr"), self.fine_tunings.items())
        return {system.name: system for system in compared}

    @property
    def test_sets(self) -> list[str]:
        """The preset's, in their order."""
        return self.recipe.preset["test"]

    @cached_property
    def pairs(self) -> list[tuple[System, str]]:
        """Every system on every test set, the slow ones first."""
        pairs = [(system, name) for system in self.systems.values() for name in self.test_sets]
        return sorted(pairs, key=lambda pair: pair[0].front_end != "separate")

    def data_of(self, head: str) -> Path:
        """Where the data directories of a head are, with its transcripts."""
        return self.phones.out if head == "pr" else self.recipe.dumpdir

    @cached_property
    def _onednn(self) -> bool:
        decoding = self._decodings.get("asr") or merged_config(self.recipe, ["decode_asr.yaml"])
        return decoding["onednn"]

    @cached_property
    def _decodings(self) -> dict[str, dict[str, Any]]:
        own = {head: merged_config(self.recipe, [f"decode_{head}.yaml"]) for head in self.recipe.heads}
        return own | {name: judge_settings(name, options) for name, options in self.recipe.judges.items()}

    @cached_property
    def duplicates(self) -> dict[Pair, Pair]:
        """Pairs of an unprocessed system and a test set with the input of an earlier pair -> that pair.

        Test sets that differ in their noise share their clean speech: it is recognized once. A pair with a front-end
        or a recognizer of its own has no duplicate, nor has one whose data directory is gone.
        """
        first: dict[str, Pair] = {}
        found: dict[Pair, Pair] = {}
        unprocessed = (self.systems["clean"], self.systems["noisy"])
        for system in unprocessed:
            for name in self.test_sets:
                path = self.recipe.datadir / name / system.input
                if not path.exists():
                    continue
                content, pair = sha256_of(path), (system.name, name)
                if (earlier := first.setdefault(content, pair)) != pair:
                    found[pair] = earlier
        return found

    def enhance(self, system: System, name: str) -> Step:
        """Leaves the enhanced audio of a system with a front-end on a test set."""
        pair = (system.name, name)
        if pair not in self._enhancements:
            self._enhancements[pair] = enhance_step(self.recipe, system, name, onednn=self._onednn)
        return self._enhancements[pair]

    def heard(self, system: System, name: str) -> Path:
        """The list of what a recognizer behind a system hears: its input, or what its front-end made of that."""
        if system.front_end == "none":
            return self.recipe.dumpdir / name / system.input
        return self.enhance(system, name).out / "spk1.scp"

    def recognize(self, system: System, name: str, head: str = "") -> Step:
        """Leaves the transcripts of a system on a test set; of the first recognizer where none is named."""
        head = head or self.recipe.recognizers[0]
        pair = (system.name, name)
        if (pair, head) not in self._recognitions:
            others: dict[str, Step] = {}
            if head == "pr":
                others["data"] = self.phones
            if system.front_end != "none" and not is_one_model(system, head):
                others["enhanced"] = self.enhance(system, name)
            if pair in self.duplicates:
                other, same = self.duplicates[pair]
                others["same_audio"] = self.recognize(self.systems[other], same, head)
            self._recognitions[pair, head] = recognize_step(
                self.recipe,
                system,
                name,
                head,
                decoding=self._decodings[head],
                trained=self._models(system, head),
                others=others,
            )
        return self._recognitions[pair, head]

    def development(self, run: Run) -> Step:
        """Leaves what the preset's `development_judge` made of a fine-tuning."""
        if run not in self._developments:
            judge = self.recipe.development_judge
            self._developments[run] = development_step(
                self.recipe,
                self.fine_tunings[run],
                judge=judge,
                decoding=self._decodings[judge],
                onednn=self._onednn,
            )
        return self._developments[run]

    def _models(self, system: System, head: str) -> tuple[Step, ...]:
        """The steps that made what recognizes; of a judge none."""
        if head in self.recipe.judges:
            return ()
        return system.trained if head == "asr" else (self.heads[head],)

    def is_decoded(self, system: System, name: str) -> bool:
        """Whether nothing is left to do for a pair.

        Raises:
            MissingInput: When a model or the data is not there.
        """
        for path, stage in [
            (self.recipe.dump_done(name), Stage.DATA),
            *((step.done, step.stage) for step in system.trained),
        ]:
            if not path.exists():
                raise MissingInput(path, stage)
        enhanced = system.front_end == "none" or self.enhance(system, name).is_done()
        return enhanced and all(self.recognize(system, name, head).is_done() for head in self.recipe.recognizers)
