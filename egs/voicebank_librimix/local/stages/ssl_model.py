"""Stage 2: the SSL model: a published one, or a small HuBERT pre-trained here through ESPnet's HuBERT task."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from espnet_plugins.atomic import remove
from local.common.archives import read_list
from local.common.audio import SAMPLE_RATE
from local.common.errors import OptionError, RecipeError
from local.common.output import atomic_path, log
from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.jobs.cores import threads_for
from local.jobs.processes import Program, run_programs
from local.stages.espnet_commands import HUBERT_DATA, merged_config, selected_model, training_command

_RECEPTIVE_FIELD = 400
_HOP = 320
# Where ESPnet pre-trains, below the step's folder.
HUBERT = "hubert"


def upstream_options(recipe: Recipe) -> dict[str, str]:
    """How the front-end of the recognizer and the objectives find the SSL model.

    Args:
        recipe: Its preset's `ssl` names a published `model`, and a `checkpoint` where it lies elsewhere than in
            the folder of downloads; or it says how one is pre-trained.

    Raises:
        OptionError: For a model or a checkpoint of another kind.
    """
    settings = recipe.preset["ssl"]
    for key in ("model", "checkpoint"):
        if not isinstance(settings.get(key, ""), str):
            raise OptionError(
                f"preset '{recipe.name}': ssl: {key}: {settings[key]!r} is not accepted; give a name or a path"
            )
    if "model" not in settings:
        return {"model": "local", "checkpoint": str(recipe.expdir / "ssl" / "upstream.pth")}
    return {"model": settings["model"], "checkpoint": settings.get("checkpoint") or str(recipe.downloads / "ssl")}


def upstream_step(recipe: Recipe) -> Step:
    """The step that leaves the SSL model; its `.done` is an input of every training over the model."""
    out = recipe.expdir / "ssl"
    if "model" in recipe.preset["ssl"]:
        return Step("ssl", stage=Stage.DATA, out=out, settings={"model": recipe.preset["ssl"]["model"]})
    config = merged_config(recipe, ["train_ssl.yaml"], {"seed": recipe.preset["seed"]})
    return Step(
        "ssl",
        stage=Stage.DATA,
        out=out,
        inputs={name: (recipe.dump_done(name), Stage.DATA) for name in ("train", "dev")},
        settings={"targets": recipe.preset["ssl"], "config": config},
        outputs=("targets", HUBERT, "upstream.pth"),
        keep_previous=True,
        extends=("config.max_epoch",),
    )


def frame_features(waveform: np.ndarray) -> np.ndarray:
    """MFCC with their differences, one row per frame of the SSL model.

    Args:
        waveform: (T,) at 16 kHz, in [-1, 1).

    Returns:
        (N, 39), N = floor((T - 400) / 320) + 1.

    Source:
        Hsu et al., "HuBERT", 2021, section IV-B (targets of the first iteration).
    """
    import torch
    import torchaudio

    mfcc = torchaudio.compliance.kaldi.mfcc(
        torch.from_numpy(waveform)[None] * 32768.0,
        sample_frequency=SAMPLE_RATE,
        frame_length=1000.0 * _RECEPTIVE_FIELD / SAMPLE_RATE,
        frame_shift=1000.0 * _HOP / SAMPLE_RATE,
        use_energy=False,
        dither=0.0,
    ).T
    deltas = torchaudio.functional.compute_deltas(mfcc)
    stacked = torch.cat([mfcc, deltas, torchaudio.functional.compute_deltas(deltas)]).T
    return (stacked - stacked.mean(dim=0)).numpy()


def make_targets(recipe: Recipe, out: Path) -> None:
    """Cluster the frames of the clean training speech; write the classes as ESPnet's `text`.

    Args:
        recipe: Its preset's `ssl` gives `clusters` and `frames_for_kmeans`.
        out: Gets train/ and dev/ with wav.scp, text and utt2num_samples, and tokens.txt.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    settings = recipe.preset["ssl"]
    features: dict[str, dict[str, np.ndarray]] = {}
    for part in ("train", "dev"):
        scp = read_list(str(recipe.dumpdir / part / "spk1.scp"))
        features[part] = {utt: frame_features(scp[utt][1].astype(np.float32)) for utt in sorted(scp)}
    frames = np.concatenate(list(features["train"].values()))
    generator = np.random.default_rng(recipe.preset["seed"])
    chosen = generator.permutation(len(frames))[: settings["frames_for_kmeans"]]
    # One thread: the order of summation, and so the last digits, must not depend on the machine's load.
    with threadpool_limits(1):
        kmeans = MiniBatchKMeans(
            settings["clusters"], batch_size=4096, n_init=3, random_state=recipe.preset["seed"]
        ).fit(frames[chosen])
        for part, utterances in features.items():
            lines = []
            for utt, rows in utterances.items():
                lines.append(f"{utt} {' '.join(map(str, kmeans.predict(rows)))}\n")
            folder = out / part
            folder.mkdir(parents=True)
            (folder / "text").write_text("".join(lines))
            (folder / "wav.scp").write_text((recipe.dumpdir / part / "spk1.scp").read_text())
            (folder / "utt2num_samples").write_text((recipe.dumpdir / part / "utt2num_samples").read_text())
    # ESPnet's converter insists on <unk>; it stands last, so that a class is its own number.
    (out / "tokens.txt").write_text("".join(f"{k}\n" for k in [*range(settings["clusters"]), "<unk>"]))


def pretrain(recipe: Recipe, step: Step, *, resume: bool) -> None:
    """Make the targets, train, export the upstream."""
    from espnet_plugins.ssl import export_espnet_hubert

    targets, hubert = step.out / "targets", step.out / HUBERT
    if not resume:
        remove(hubert)
    if not targets.exists():
        with atomic_path(targets) as tmp:
            tmp.mkdir(parents=True)
            make_targets(recipe, tmp)
    command = training_command(
        "hubert_train",
        config=step.settings["config"],
        out=hubert,
        train=targets / "train",
        valid=targets / "dev",
        data=HUBERT_DATA,
        ngpu=recipe.ngpu,
        resume=resume,
        extra=["--token_list", str(targets / "tokens.txt"), "--token_type", "word"],
    )
    threads = threads_for(recipe.preset["threads"]["single"], hubert)
    run_programs([Program("SSL pre-training", command, hubert / "train.log", threads=threads)], nj=1)
    with atomic_path(step.out / "upstream.pth") as tmp:
        export_espnet_hubert(hubert / "config.yaml", selected_model(hubert, step.settings["config"]), tmp)


def fetch(recipe: Recipe) -> None:
    """Download a published SSL model unless it is there, and read it once.

    Raises:
        RecipeError: When it cannot be had, or is damaged.
    """
    from espnet_plugins.ssl import describe_upstream

    options = upstream_options(recipe)
    if "checkpoint" not in recipe.preset["ssl"]:
        Path(options["checkpoint"]).mkdir(parents=True, exist_ok=True)
    try:
        upstream = describe_upstream(options["model"], checkpoint=options["checkpoint"])
        log(f"{upstream.name}: {upstream.n_layers} layers, {upstream.feature_dim} features, hop {upstream.hop_length}")
        upstream.build()
    except (OSError, RuntimeError, ValueError) as error:
        raise RecipeError(f"SSL model: {error}") from error


def make_ssl_model(recipe: Recipe, step: Step, *, resume: bool) -> None:
    """Fetch or pre-train the SSL model unless it is there.

    Args:
        recipe: The invocation.
        step: What upstream_step() gives.
        resume: Go on with a pre-training that was interrupted.
    """
    if "model" in recipe.preset["ssl"]:
        step.run(lambda: fetch(recipe))
    else:
        step.run(lambda: pretrain(recipe, step, resume=resume))
