"""What a loaded Hugging Face model lacks is named, also where transformers is not installed.

tests/ssl/test_huggingface.py and tests/ssl/test_transformers_encoders.py have models of transformers' own.
"""

import re
import sys
from types import SimpleNamespace

import pytest
import torch

from espnet_plugins.ssl.transformers_model import load_model

# What transformers tells of a directory whose weights all fit.
FITS = {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}


class Model(torch.nn.Module):
    """A model with a head's name beside it."""

    base_model_prefix = "hubert"

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(2, 2)


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Load a model of which transformers tells something."""

    def run(edit=lambda model: None, **told):
        model = Model()
        edit(model)
        loader = SimpleNamespace(from_pretrained=lambda *_, **__: (model, {**FITS, **told}))
        monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=loader))
        return load_model(tmp_path, None)

    return run


def _break(model):
    model.encoder.bias.data[0] = torch.nan


@pytest.mark.parametrize(
    ("told", "edit", "message"),
    [
        ({"missing_keys": ["encoder.bias"]}, None, "missing encoder.bias"),
        ({"unexpected_keys": ["encoder.y"]}, None, "unexpected encoder.y"),
        ({"unexpected_keys": ["hubert.encoder.y"]}, None, "unexpected hubert.encoder.y"),
        ({"mismatched_keys": ["encoder.weight"]}, None, "misshapen encoder.weight"),
        # As transformers 4 tells it, and counts it among the missing.
        (
            {"mismatched_keys": [("encoder.weight", [1, 2], [2, 2])], "missing_keys": ["encoder.weight"]},
            None,
            "misshapen encoder.weight",
        ),
        ({}, _break, "not finite encoder.bias"),
        (
            {"missing_keys": {"encoder.bias"}, "unexpected_keys": {"encoder.y"}},
            None,
            "missing encoder.bias; unexpected encoder.y",
        ),
    ],
)
def test_what_was_left_out_or_filled_in_is_named(load, tmp_path, told, edit, message):
    """Random numbers in a missing tensor's place would pass for features."""
    expected = f"{tmp_path} does not fit its config.json: {message}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        load(edit or (lambda model: None), **told)


@pytest.mark.parametrize("told", [{}, {"missing_keys": ["masked_spec_embed"]}, {"unexpected_keys": ["lm_head.weight"]}])
def test_what_plays_no_part_is_not_asked_for(load, told):
    """An embedding of masks, and heads behind the model."""
    assert isinstance(load(**told), Model)
