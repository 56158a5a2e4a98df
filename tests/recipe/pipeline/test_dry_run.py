"""What is forecast of a training is what ESPnet makes of the same numbers."""

import json
import re

import numpy as np
import pytest
import torch
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory
from slurm_testbed import folders

from local.common.errors import OptionError
from local.pipeline.dry_run import _updates
from local.pipeline.options import parse
from local.pipeline.run import run

SAMPLE_RATE = 16000


class Speech:
    """Silence of given lengths, as a dataset of ESPnet."""

    def __init__(self, lengths):
        self.lengths = lengths

    def __getitem__(self, key):
        return key, {"speech": np.zeros(self.lengths[int(key)], dtype=np.float32)}


def collate(items):
    (key, data), *_ = items
    speech = torch.from_numpy(data["speech"])[None]
    return [key], {"speech": speech, "speech_lengths": torch.tensor([speech.shape[1]])}


def espnets(lengths, *, batch_size, chunk_length, num_iters_per_epoch=None, chunk_shift_ratio=0.5):
    """Batches in ESPnet's first epoch, as its enhancement task builds the iterator."""
    factory = ChunkIterFactory(
        dataset=Speech(lengths),
        batch_size=batch_size,
        batches=[(str(index),) for index in range(len(lengths))],
        chunk_length=chunk_length,
        chunk_shift_ratio=chunk_shift_ratio,
        num_samples_per_epoch=num_iters_per_epoch,
        collate_fn=collate,
        seed=0,
    )
    return sum(1 for _ in factory.build_iter(1, shuffle=False))


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 4, "chunk_length": 4800, "num_iters_per_epoch": 30},
        {"batch_size": 8, "chunk_length": 3200},
        {"batch_size": 8, "chunk_length": 3200, "chunk_shift_ratio": 0.25, "num_iters_per_epoch": 50},
    ],
)
def test_updates_where_chunks_are_cut(settings):
    lengths = np.random.default_rng(0).integers(8000, 32000, size=120)
    # Without shuffling the first ones are taken.
    seconds = float(lengths[: settings.get("num_iters_per_epoch")].mean()) / SAMPLE_RATE
    config = {"iterator_type": "chunk", "max_epoch": 3, **settings}
    updates, hours = _updates(config, lengths.sum() / SAMPLE_RATE / 3600, seconds)
    assert updates == pytest.approx(3 * espnets(lengths, **settings), rel=0.06)
    assert hours == pytest.approx(updates * settings["batch_size"] * settings["chunk_length"] / SAMPLE_RATE / 3600)


def test_only_the_stages_asked_for_are_told_with_what_they_miss(tmp_path, capsys):
    folders = [f"--{name}dir={tmp_path / name}" for name in ("data", "dump", "exp")]

    def told(*words):
        run(parse(["--preset=smoke", "--objectives=si_snr", "--dry_run=true", *folders, *words]))
        return capsys.readouterr().out

    whole = told()
    assert "Begins at" not in whole
    assert all(f"\n  stage {stage} " in whole for stage in (3, 4, 5))
    assert "disk needed at the peak" in whole
    late = told("--stage=5")
    assert f"\nBegins at stage 5; missing:\n  {tmp_path}/dump/train/.dump.done: stage 2 makes it\n" in late
    assert f"\n  {tmp_path}/exp/asr/.train.done: stage 4 makes it\n  run from --stage 2 on" in late
    assert "disk needed" not in late
    assert re.findall(r"^  stage (\d)", late, re.MULTILINE) == ["5", "6"]
    assert re.findall(r"^  stage (\d)", told("--stage=3", "--stop_stage=4"), re.MULTILINE) == ["3", "4"]
    assert "Trainings" not in told("--stop_stage=2")
    # What an earlier run left is not missing.
    for name in ("train", "dev"):
        (tmp_path / "dump" / name).mkdir(parents=True)
        (tmp_path / "dump" / name / ".dump.done").write_text(json.dumps({"fingerprint": name}))
    assert "Begins at" not in told("--stage=3", "--stop_stage=3")


def test_utterances_shorter_than_a_chunk_give_no_update_of_their_own():
    config = {"iterator_type": "chunk", "max_epoch": 2, "batch_size": 4, "chunk_length": 48000}
    assert _updates(config, 1.0, 2.0)[0] == 2


def test_updates_of_whole_utterances():
    config = {"iterator_type": "sequence", "batch_type": "numel", "batch_bins": 160000, "max_epoch": 2, "accum_grad": 2}
    assert _updates(config, 1.0, 5.0) == (360, pytest.approx(2.0))
    assert _updates({**config, "num_iters_per_epoch": 30}, 1.0, 5.0)[0] == 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: digits\nsets: {digits_train: {part: true}}", "digits_train' of digits: part: True is not accepted"),
        (
            "extends: digits\ncorpora: {digits: {train: null}}",
            "digits: train: None is not accepted; give a whole number",
        ),
        ("extends: noisy_speech\ncorpora: {noisy_speech: {parts: true}}", "parts: True is not accepted; give split"),
        ("extends: noisy_speech\ncorpora: {noisy_speech: {parts: {train: 5}}}", "parts: {'train': 5"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, text, message):
    own = tmp_path / "own.yaml"
    own.write_text(f"{text}\n")
    with pytest.raises(OptionError) as error:
        run(parse(["--dry_run=true", "--preset", str(own), *folders(tmp_path)]))
    assert message in str(error.value)


def test_no_estimate_is_none(tmp_path, capsys):
    own = tmp_path / "own.yaml"
    own.write_text("extends: mini\nestimate: null\n")
    run(parse(["--dry_run=true", "--preset", str(own), *folders(tmp_path)]))
    assert "updates" in capsys.readouterr().out
