"""What is exported is decoded by ESPnet where this package cannot be imported."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from joint_configuration import joint_settings, save_experiment
from places import ROOT
from stock import STOCK_ALONE
from tiny_architectures import TINY, save_hub_model

from espnet_plugins.bin import export
from espnet_plugins.compat import HUGGINGFACE_COUNTS_FRAMES, get_activation
from espnet_plugins.inference import Enhancer, Recognizer
from espnet_plugins.register import FRONTENDS
from espnet_plugins.tasks import JointTask

# Runs ESPnet's own programs in a process where importing this package fails.
STOCK = (
    STOCK_ALONE
    + """
from espnet2.bin import asr_inference, enh_inference
scp, enh, joint, out = sys.argv[1:]
common = ["--num_workers", "0", "--log_level", "ERROR"]
enh_inference.main([*common, "--output_dir", out + "/enh", "--fs", "16000", "--output_format", "wav",
    "--data_path_and_name_and_type", scp + ",speech_mix,sound",
    "--train_config", enh + "/config.yaml", "--model_file", enh + "/model.pth"])
asr_inference.main([*common, "--output_dir", out + "/asr", "--enh_s2t_task", "true", "--beam_size", "5",
    "--ctc_weight", "1.0", "--data_path_and_name_and_type", scp + ",speech,sound",
    "--asr_train_config", joint + "/config.yaml", "--asr_model_file", joint + "/model.pth"])
"""
)


def test_stock_espnet_decodes_what_is_exported(make_upstream, tmp_path, speech, capsys):
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    # Options, criteria and weights of this package, which ESPnet would refuse.
    own = {"enh_model_conf": {"ignore_padding": True}}
    schedule = {"gamma": {"from": 1.0, "to": 0.1, "updates": 9}}
    ours = {"criterion": "ssl_soft_dtw", "criterion_conf": schedule}
    save_experiment({**joint_settings(upstream, **ours, asr_weight=0.5), **own}, tmp_path / "ssl")
    # The recognizer's front-end is ESPnet's.
    save_experiment({**joint_settings(upstream, **ours, frontend="default", enh_weight=2.0), **own}, tmp_path / "stock")
    for name in ("ssl", "stock"):
        weights = torch.load(tmp_path / name / "model.pth", weights_only=True)
        assert "enh_model.curricula.0.done" in weights
    export.main([str(tmp_path / "ssl"), "--out", str(tmp_path / "exported")])
    printed = capsys.readouterr().out
    assert (
        "left out: the recognizer (front-end 'frozen_ssl'): stock ESPnet reads SSL models from Hugging Face" in printed
    )
    export.main([str(tmp_path / "stock"), "--out", str(tmp_path / "whole")])
    assert "left out" not in capsys.readouterr().out
    soundfile.write(tmp_path / "utt.wav", speech, 16000, subtype="FLOAT")
    (tmp_path / "wav.scp").write_text(f"utt {tmp_path / 'utt.wav'}\n")
    folders = [tmp_path / "wav.scp", tmp_path / "exported" / "enh", tmp_path / "whole" / "joint", tmp_path / "out"]
    command = [sys.executable, "-W", "ignore", "-c", STOCK, *map(str, folders)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env=dict(os.environ))
    assert result.returncode == 0, result.stderr[-3000:]
    line = (tmp_path / "out" / "enh" / "spk1.scp").read_text().split()
    found, _ = soundfile.read(line[1], dtype="float32")
    expected = Enhancer.from_checkpoint(tmp_path / "ssl")(speech, 16000)
    np.testing.assert_allclose(found, expected, atol=2e-4)  # ESPnet writes 16 bits
    words = (tmp_path / "out" / "asr" / "1best_recog" / "text_spk1").read_text().partition(" ")[2].strip()
    assert words == Recognizer.from_checkpoint(tmp_path / "stock")(speech, 16000)


@pytest.mark.parametrize("encoder", ["rnn", "vgg_rnn"])
def test_stock_decoding_of_a_recurrent_encoder_repeats_itself(tmp_path, speech, encoder):
    """Its dropout, which ESPnet applies in evaluation, too, stays here."""
    stock_task = next(kind for kind in JointTask.__mro__ if kind.__module__ == "espnet2.tasks.enh_s2t")
    conf = {"rnn_type": "gru", "num_layers": 2, "hidden_size": 6, "output_size": 8, "dropout": 0.5}
    own = {**joint_settings({}, criterion="si_snr", frontend="default"), "asr_encoder": encoder}
    save_experiment({**own, "asr_encoder_conf": conf}, tmp_path / "model")
    export.main([str(tmp_path / "model"), "--out", str(tmp_path / "out")])
    model, _ = stock_task.build_model_from_file(
        tmp_path / "out" / "joint" / "config.yaml", tmp_path / "out" / "joint" / "model.pth"
    )
    ours, _ = JointTask.build_model_from_file(tmp_path / "model" / "config.yaml", tmp_path / "model" / "model.pth")
    waveform, lengths = torch.from_numpy(speech)[None], torch.tensor([len(speech)])
    with torch.no_grad():
        first, second = (model.eval().s2t_model.encode(waveform, lengths)[0] for _ in range(2))
        expected = ours.eval().s2t_model.encode(waveform, lengths)[0]
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected)


def test_the_exported_configuration_names_nothing_of_this_package(joint_folder, tmp_path):
    export.main([str(joint_folder), "--out", str(tmp_path)])
    settings = yaml.safe_load((tmp_path / "enh" / "config.yaml").read_text())
    assert settings["criterions"] is None
    assert "espnet_plugins" not in str(settings)
    weights = torch.load(tmp_path / "enh" / "model.pth", weights_only=True)
    joint = torch.load(joint_folder / "model.pth", weights_only=True)
    assert {f"enh_model.{name}" for name in weights} == {name for name in joint if name.startswith("enh_model.")}
    assert [path.name for path in tmp_path.iterdir()] == ["enh"]


def test_a_recognizer_over_frozen_ssl_is_refused_with_the_reason(joint_folder, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("encoder: rnn\nfrontend: frozen_ssl\ntoken_list: [a]\n")
    (tmp_path / "model.pth").symlink_to(joint_folder / "model.pth")
    with pytest.raises(SystemExit):
        export.main([str(tmp_path), "--out", str(tmp_path / "out")])
    message = capsys.readouterr().err
    assert "nothing can be exported" in message
    assert "frozen_ssl" in message
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module", params=[False, True], ids=["base", "large"])
def hub_model(tmp_path_factory, request):
    """A tiny HuBERT as a hub has it."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hub") / "model"
    torch.manual_seed(0)
    save_hub_model(folder, layers=2, normalized=request.param)
    return folder


# Gives log-probabilities and words of a joint model by ESPnet alone, where importing this package fails.
SCORES = (
    STOCK_ALONE
    + """
import numpy, torch
from espnet2.bin.asr_inference import Speech2Text
folder, waveform, out = sys.argv[1:]
speech = numpy.load(waveform)
decode = Speech2Text(folder + "/config.yaml", folder + "/model.pth", enh_s2t_task=True, beam_size=5, ctc_weight=1.0)
words = [decode(speech)[0][0][0] for _ in range(2)]
assert words[0] == words[1]
model = decode.asr_model
with torch.no_grad():
    wave, lengths = torch.from_numpy(speech)[None], torch.tensor([len(speech)])
    enhanced = model.enh_model.forward_enhance(wave, lengths, {"num_spk": 1})[0][0]
    scores = [model.s2t_model.ctc.log_softmax(model.s2t_model.encode(enhanced, lengths)[0]) for _ in range(2)]
assert torch.equal(*scores)
numpy.savez(out, scores=scores[0][0].numpy(), words=words[0])
"""
)


@pytest.mark.parametrize("layer", ["weighted_sum", 1, -1])
def test_a_recognizer_over_a_hubs_model_is_decoded_by_stock_espnet(hub_model, tmp_path, speech, layer):
    exact = layer == -1 and HUGGINGFACE_COUNTS_FRAMES
    if not exact:
        pytest.importorskip("s3prl", reason="needs espnet-s3prl")
    settings = joint_settings({"model": "huggingface", "checkpoint": str(hub_model)})
    settings["frontend_conf"]["layer"] = layer
    # Statistics over an utterance would carry the frames that s3prl repeats into all the others.
    settings["normalize"] = None
    settings["asr_encoder"] = "rnn"
    settings["asr_encoder_conf"] = {"num_layers": 2, "hidden_size": 8, "output_size": 8, "dropout": 0.5}
    settings["asr_encoder_conf"] |= {"bidirectional": False, "subsample": [1, 1]}
    ours = save_experiment(settings, tmp_path / "model")
    if layer == "weighted_sum":
        ours.s2t_model.frontend.layer_weights.data = torch.tensor([0.5, -1.0, 2.0])
        torch.save(ours.state_dict(), tmp_path / "model" / "model.pth")
    export.main([str(tmp_path / "model"), "--out", str(tmp_path / "out")])
    joint = tmp_path / "out" / "joint"
    np.save(tmp_path / "speech.npy", speech)
    command = [sys.executable, "-W", "ignore", "-c", SCORES, str(joint), str(tmp_path / "speech.npy")]
    result = subprocess.run(
        [*command, str(tmp_path / "found.npz")], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = np.load(tmp_path / "found.npz")
    with torch.no_grad():
        waveform, lengths = torch.from_numpy(speech)[None], torch.tensor([len(speech)])
        enhanced = ours.enh_model.forward_enhance(waveform, lengths, {"num_spk": 1})[0][0]
        expected = ours.s2t_model.ctc.log_softmax(ours.s2t_model.encode(enhanced, lengths)[0])[0].numpy()
    assert len(found["scores"]) - len(expected) in ([0] if exact else [1, 2])
    np.testing.assert_allclose(found["scores"][: len(expected)], expected, atol=1e-4)
    if exact:
        assert str(found["words"]) == Recognizer.from_checkpoint(tmp_path / "model")(speech, 16000)


def test_espnet_still_has_no_front_end_for_it():
    """docs/objectives.md says of each of ESPnet's front-ends why it cannot stand for frozen_ssl; is that still so?"""
    from espnet2.asr.encoder.hubert_encoder import TorchAudioHuBERTPretrainEncoder
    from espnet2.tasks.asr import frontend_choices
    from espnet2.tasks.ssl import encoder_choices

    page = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    stock = {name: kind for name, kind in frontend_choices.classes.items() if name not in FRONTENDS}
    assert set(stock) == {"default", "sliding_window", "s3prl", "espnet_ssl", "fused", "whisper", "huggingface"} | {
        "wav2vec_cnn"
    }
    for name, kind in stock.items():
        assert f"`{name}`" in page
        assert f"`{kind.__name__}`" in page
    assert set(encoder_choices.classes) == {"transformer", "conformer", "e_branchformer"}
    with pytest.raises(KeyError):
        get_activation("gelu")
    with torch.random.fork_rng():
        encoder = TorchAudioHuBERTPretrainEncoder(input_size=1, finetuning=True, num_classes=3, **TINY).eval()
    hidden, lengths, _ = encoder(torch.zeros(1, 16000), torch.tensor([16000]))
    assert hidden.shape == (1, int(lengths), TINY["encoder_embed_dim"])  # one hidden state
