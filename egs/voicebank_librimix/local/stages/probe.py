"""Stage 8: the positional probe of the SSL model, and of the objectives' gradients at the layer they compare."""

from __future__ import annotations

import dataclasses

import numpy as np

from espnet_plugins.analysis.probe import ProbeError, ProbeResult
from local.common.archives import read_list
from local.common.audio import SAMPLE_RATE
from local.common.errors import RecipeError
from local.common.output import log
from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.experiment import Experiment
from local.stages.ssl_model import upstream_options

_SET = "dev"
_FEWEST = 4
_SETTINGS = {"utterances": 32, "seconds": 2.0, "turns": 4, "snr": 5.0, "gradient_layers": [-1], "seed": 0}


def probe_step(experiment: Experiment) -> Step:
    """The step that leaves `<expdir>/probe/probe.json`, its table and its figure."""
    return Step(
        "probe",
        stage=Stage.REPORT,
        out=experiment.recipe.expdir / "probe",
        inputs={"ssl": experiment.ssl, _SET: (experiment.recipe.dump_done(_SET), Stage.DATA)},
        settings=_SETTINGS,
        outputs=("probe.json", "probe.md", "probe.png"),
        by_content=True,
    )


def probe_development_set(recipe: Recipe, step: Step) -> None:
    """Probe on the longest utterances of the development set; pieces are as long as the shortest of these."""
    import torch

    from espnet_plugins.analysis.probe.waveforms import probe_waveforms, write_result
    from espnet_plugins.objectives import SSL_CRITERIA

    options = dict(step.settings)
    scp = read_list(str(recipe.dumpdir / _SET / "spk1.scp"))
    utterances = [scp[utt][1].astype(np.float32) for utt in sorted(scp)]
    utterances.sort(key=len, reverse=True)
    chosen = utterances[: options.pop("utterances")]
    options["seconds"] = min(options["seconds"], len(chosen[-1]) / SAMPLE_RATE)
    waveforms = [torch.from_numpy(utterance) for utterance in chosen]
    upstream = upstream_options(recipe)
    result = probe_waveforms(upstream, waveforms, SSL_CRITERIA, **options)
    # The result is published: its own name for a model made here is a path of this machine.
    name = f"SSL model of preset {recipe.name}" if upstream["model"] == "local" else upstream["model"]
    write_result(dataclasses.replace(result, upstream=name), step.out)


def run_probe(experiment: Experiment) -> ProbeResult | None:
    """Probe unless it is done.

    Args:
        experiment: The steps.

    Returns:
        What was found; None, with a line that says why, where there is nothing to probe with.
    """
    recipe, step = experiment.recipe, probe_step(experiment)
    if missing := [path for path, _ in step.inputs.values() if not path.exists()]:
        log(f"[stage {Stage.REPORT}] no positional probe: {missing[0]} is missing")
        return None
    lengths = (recipe.dumpdir / _SET / "utt2num_samples").read_text().splitlines()
    if len(lengths) < _FEWEST:
        log(f"[stage {Stage.REPORT}] no positional probe: {len(lengths)} development utterances, {_FEWEST} are needed")
        return None
    try:
        step.run(lambda: probe_development_set(recipe, step))
        return ProbeResult.read(step.out / "probe.json")
    except ProbeError as error:
        raise RecipeError(str(error)) from error
