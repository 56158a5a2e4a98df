"""Stage 8: the positional probe of the SSL model, and of the objectives' gradients at the layer they compare."""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

from espnet_plugins.analysis.probe import ProbeError, ProbeResult
from local.common.recipe import Recipe, add_common_arguments
from local.common.steps import RecipeError, Step, log, run_main
from local.stages.ssl_model import upstream_options, upstream_step

STAGE = 8
_SET = "dev"
_RATE = 16000
_FEWEST = 4
_SETTINGS = {"utterances": 32, "seconds": 2.0, "turns": 4, "snr": 5.0, "gradient_layers": [-1], "seed": 0}


def probe_step(recipe: Recipe) -> Step:
    """The step that leaves `<expdir>/probe/probe.json`, its table and its figure."""
    return Step(
        "probe",
        stage=STAGE,
        out=recipe.expdir / "probe",
        inputs={"ssl": (upstream_step(recipe).done, 2), _SET: (recipe.dump_done(_SET), 2)},
        settings=_SETTINGS,
        outputs=("probe.json", "probe.md", "probe.png"),
        by_content=True,
    )


def probe_development_set(recipe: Recipe, step: Step) -> None:
    """Probe on the longest utterances of the development set; pieces are as long as the shortest of these."""
    import kaldiio
    import torch

    from espnet_plugins.bin.probe import probe_waveforms, write_result

    options = dict(step.settings)
    scp = kaldiio.load_scp(str(recipe.dumpdir / _SET / "spk1.scp"))
    utterances = [scp[utt][1].astype(np.float32) for utt in sorted(scp)]
    utterances.sort(key=len, reverse=True)
    chosen = utterances[: options.pop("utterances")]
    options["seconds"] = min(options["seconds"], len(chosen[-1]) / _RATE)
    waveforms = [torch.from_numpy(utterance) for utterance in chosen]
    upstream = upstream_options(recipe)
    result = probe_waveforms(upstream, waveforms, **options)
    # The result is published: its own name for a model made here is a path of this machine.
    name = f"SSL model of preset {recipe.name}" if upstream["model"] == "local" else upstream["model"]
    write_result(dataclasses.replace(result, upstream=name), step.out)


def run_probe(recipe: Recipe) -> ProbeResult | None:
    """Probe unless it is done.

    Args:
        recipe: The invocation.

    Returns:
        What was found; None, with a line that says why, where there is nothing to probe with.
    """
    step = probe_step(recipe)
    if missing := [path for path, _ in step.inputs.values() if not path.exists()]:
        log(f"[stage {STAGE}] no positional probe: {missing[0]} is missing")
        return None
    lengths = (recipe.dumpdir / _SET / "utt2num_samples").read_text().splitlines()
    if len(lengths) < _FEWEST:
        log(f"[stage {STAGE}] no positional probe: {len(lengths)} development utterances, {_FEWEST} are needed")
        return None
    try:
        step.run(lambda: probe_development_set(recipe, step))
        return ProbeResult.read(step.out / "probe.json")
    except ProbeError as error:
        raise RecipeError(str(error)) from error


def main() -> None:
    """Probe, and print the table."""
    recipe = Recipe.from_args(add_common_arguments(argparse.ArgumentParser(description=__doc__)).parse_args())
    if result := run_probe(recipe):
        print(f"\nPosition in the SSL model (%)\n{result.table().plain()}")


if __name__ == "__main__":
    run_main(main)
