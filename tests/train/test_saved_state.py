"""A checkpoint that any byte of has changed is known; neither intact is one clear error."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from espnet_plugins.train import checkpoint


def write(folder, epoch):
    torch.save({"model": {"w": torch.full((1000,), float(epoch))}, "reporter": {"epoch": epoch}}, folder)


@pytest.fixture
def folder(tmp_path):
    with checkpoint.atomic_saves():
        for epoch in (1, 2, 3):
            write(tmp_path / checkpoint.LATEST, epoch)
    return tmp_path


def epoch(folder):
    return checkpoint.read(folder / checkpoint.LATEST)["reporter"]["epoch"]


def test_an_intact_checkpoint_is_left_alone(folder):
    checkpoint.recover(folder)
    assert epoch(folder) == 3


def test_nothing_to_recover_in_a_new_experiment(tmp_path):
    checkpoint.recover(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_file_is_replaced_by_the_one_before(folder, caplog, share):
    latest = folder / checkpoint.LATEST
    latest.write_bytes(latest.read_bytes()[: int(share * latest.stat().st_size)])
    checkpoint.recover(folder)
    assert epoch(folder) == 2
    assert "is corrupt: resuming from checkpoint.previous.pth" in caplog.text


def test_a_kill_between_the_two_renames_loses_nothing(folder):
    (folder / checkpoint.LATEST).rename(folder / checkpoint.PREVIOUS)
    checkpoint.recover(folder)
    assert epoch(folder) == 3


def test_a_changed_byte_is_noticed_or_harmless(folder):
    original = (folder / checkpoint.LATEST).read_bytes()
    good = checkpoint.read(folder / checkpoint.LATEST)
    changed = folder / "changed.pth"
    draw = random.Random(0)
    noticed = 0
    for _ in range(200):
        content = bytearray(original)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        changed.write_bytes(content)
        if not checkpoint.is_intact(changed):
            noticed += 1
            continue
        assert torch.equal(checkpoint.read(changed)["model"]["w"], good["model"]["w"])
    assert noticed > 100


def test_both_corrupt_is_one_error(folder):
    for name in (checkpoint.LATEST, checkpoint.PREVIOUS):
        (folder / name).write_bytes(b"no archive")
    with pytest.raises(RuntimeError, match=r"checkpoint\.pth is corrupt.*--resume false"):
        checkpoint.recover(folder)


def test_code_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"model": print}, tmp_path / "evil.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.read(tmp_path / "evil.pth")


def test_checkpoints_are_read_in_threads(tmp_path):
    """As the recipe does when trainings end together; torch's list of safe types is one for all threads."""
    path = tmp_path / checkpoint.LATEST
    torch.save({"reporter": {"wer": np.float64(12.5)}}, path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: checkpoint.read(path)["reporter"]["wer"], range(200)))
    assert found == [12.5] * 200
