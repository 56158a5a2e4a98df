"""What is packed on one stack is decoded by the ESPnet of the other, where this package cannot be imported."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from joint_configuration import joint_settings, save_experiment
from places import ROOT
from stock import FROM_PRETRAINED
from tiny_architectures import save_hub_model

from espnet_plugins.inference import Enhancer, Recognizer
from espnet_plugins.packing import Card, pack_model


@pytest.fixture(scope="module")
def other_python():
    """The interpreter of an environment of the other stack."""
    own = sys.version_info >= (3, 12)
    question = "import sys, espnet2; sys.exit((sys.version_info >= (3, 12)) == (sys.argv[1] == 'True'))"
    for folder in sorted(ROOT.glob(".venv*")):
        python = folder / "bin" / "python"
        if python.exists() and (folder / ".setup_done").exists():
            answer = subprocess.run(
                [python, "-W", "ignore", "-c", question, str(own)], capture_output=True, timeout=300
            )
            if answer.returncode == 0:
                return python
    pytest.skip("no environment of the other stack in this clone: tools/test.sh makes one")


def hub_settings(folder, criterion):
    """A joint model over a tiny HuBERT as a hub has it, all layers weighted: ESPnet's s3prl front-end."""
    pytest.importorskip("transformers")
    pytest.importorskip("s3prl", reason="needs espnet-s3prl")
    save_hub_model(folder, layers=2)
    settings = joint_settings({"model": "huggingface", "checkpoint": str(folder)}, criterion=criterion)
    settings["frontend_conf"]["layer"] = "weighted_sum"
    # One that does not carry the frames that s3prl repeats at the end back to the others.
    settings["normalize"] = None
    settings["asr_encoder"] = "rnn"
    settings["asr_encoder_conf"] = {"num_layers": 1, "hidden_size": 8, "output_size": 8, "bidirectional": False}
    settings["asr_encoder_conf"] |= {"subsample": [1]}
    return settings


@pytest.mark.parametrize("frontend", ["default", "s3prl"])
def test_the_other_espnet_decodes_what_is_packed_here(other_python, tmp_path, speech, frontend):
    torch.manual_seed(0)
    if frontend == "s3prl":
        settings = hub_settings(tmp_path / "hub", "si_snr")
    else:
        settings = joint_settings({}, criterion="si_snr", frontend="default")
    save_experiment(settings, tmp_path / "model")
    card = Card("A model")
    packed = {}
    for name in ("front_end", "joint"):
        packed[name] = pack_model(
            tmp_path / "model", tmp_path / f"{name}.zip", card=card, front_end=name == "front_end"
        )
        assert packed[name].stock
    np.save(tmp_path / "speech.npy", speech)
    found = {}
    for name, python in (("here", sys.executable), ("there", other_python)):
        home = tmp_path / name  # where ESPnet unpacks
        given = [packed["front_end"].path, packed["joint"].path, home / "cache", tmp_path / "speech.npy"]
        command = [python, "-W", "ignore", "-c", FROM_PRETRAINED, *map(str, given), str(home / "found.npz")]
        # Nothing of this environment leads the other to its packages.
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        home.mkdir()
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=600, cwd=home, env={**environment, "HOME": str(home)}
        )
        assert result.returncode == 0, f"{name}: {result.stderr[-3000:]}"
        found[name] = np.load(home / "found.npz")
    enhanced = Enhancer.from_checkpoint(tmp_path / "model")(speech, 16000)
    np.testing.assert_allclose(found["there"]["enhanced"], enhanced, atol=1e-4)
    assert str(found["there"]["words"]) == str(found["here"]["words"])
    if frontend == "default":
        assert str(found["there"]["words"]) == Recognizer.from_checkpoint(tmp_path / "model", beam_size=5)(
            speech, 16000
        )
