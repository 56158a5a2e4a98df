"""The worked example of docs/objectives.md runs and does what the text says."""

import re

import pytest
import torch
from places import ROOT

from espnet_plugins.objectives import CRITERIA
from espnet_plugins.ssl import sources

DOCUMENT = ROOT / "docs" / "objectives.md"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setattr(sources, "_SOURCES", dict(sources._SOURCES))
    before = dict(CRITERIA)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(code, str(DOCUMENT), "exec"), {"__name__": "documentation"})
    yield code
    CRITERIA.clear()
    CRITERIA.update(before)


def test_it_is_short(example):
    assert len([line for line in example.splitlines() if line.strip()]) < 40


def test_new_objective_over_a_new_upstream(example, batch):
    criterion = CRITERIA["ssl_cosine"](upstream={"model": "log_spectrum"})
    reference, lengths = batch
    estimate = (reference + 0.1 * reference.roll(1, 0)).requires_grad_()
    loss = criterion(reference, estimate, lengths)
    loss.sum().backward()
    assert ((loss > 0) & (loss < 1)).all()
    assert estimate.grad[2, :12345].any()
    assert not estimate.grad[2, 12345:].any()
    alone = criterion(reference[2:, :12345], estimate[2:, :12345])
    torch.testing.assert_close(alone, loss[2:])
    with pytest.raises(ValueError, match=r"ssl_cosine: unknown key gamma"):
        CRITERIA["ssl_cosine"](gamma=1)


def test_old_objectives_take_the_new_upstream_and_it_knows_no_position(example, batch):
    reference, lengths = batch
    estimate = 0.5 * reference
    upstream = {"model": "log_spectrum"}
    padded = CRITERIA["ssl_mse_pad"](upstream=upstream, fraction=[0.1, 0.3])
    torch.testing.assert_close(
        padded(reference, estimate, lengths),
        CRITERIA["ssl_mse"](upstream=upstream)(reference, estimate, lengths),
    )


@pytest.mark.parametrize("name", CRITERIA)
def test_every_option_is_documented(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"| `{key}` |" in text for key in CRITERIA[name].accepted_keys())
