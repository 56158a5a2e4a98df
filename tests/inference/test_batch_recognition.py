"""Recognition of a set in batches: what ESPnet's program writes, utterance by utterance."""

import numpy as np
import pytest
import soundfile
import torch
from joint_configuration import joint_settings, save_experiment

from espnet_plugins.bin import asr_inference
from espnet_plugins.inference import batch_recognition
from espnet_plugins.inference.batch_recognition import NotRecognized, respects_lengths
from espnet_plugins.inference.depthwise import ShiftedConv1d, shift_depthwise
from espnet_plugins.train.onednn import onednn

RNN = {
    "asr_encoder": "rnn",
    "asr_encoder_conf": {"hidden_size": 8, "output_size": 8, "num_layers": 1, "rnn_type": "gru"},
}
CASES = {"encoded together": RNN, "searched together": {}, "two speakers": {**RNN, "num_spk": 2}, "attention": {}}


@pytest.fixture(scope="module", params=CASES)
def model(request, tmp_path_factory, make_upstream):
    """A joint training whose posteriors are far enough from uniform for hypotheses to differ."""
    folder = tmp_path_factory.mktemp("joint")
    changes = dict(CASES[request.param])
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    settings = {**joint_settings(upstream, num_spk=changes.pop("num_spk", 1)), **changes}
    settings["token_list"] = ["<blank>", "<unk>", *(f"\u2581w{k}" for k in range(12)), "<sos/eos>"]
    if request.param == "attention":
        settings |= {"asr_decoder": "transformer", "asr_decoder_conf": {"num_blocks": 1, "linear_units": 8}}
        settings["asr_decoder_conf"]["attention_heads"] = 2
        settings["asr_model_conf"] = {"ctc_weight": 0.5}
    together = respects_lengths(save_experiment(settings, folder))
    assert together == ("asr_encoder" in changes)
    weights = torch.load(folder / "model.pth", weights_only=True)
    weights["s2t_model.ctc.ctc_lo.weight"] *= 20
    torch.save(weights, folder / "model.pth")
    return folder, request.param


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for k, samples in enumerate([9000, 16000, 5000, 16000, 12345]):
        soundfile.write(folder / f"u{k}.wav", 0.1 * generator.standard_normal(samples), 16000)
    (folder / "wav.scp").write_text("".join(f"u{k} {folder}/u{k}.wav\n" for k in range(5)))
    return folder


def decode(model, audio, out, *options):
    folder, _ = model
    command = ["--output_dir", str(out), "--num_workers", "0", "--log_level", "ERROR", "--beam_size", "3"]
    command += ["--ctc_weight", "0.5" if model[1] == "attention" else "1.0", "--maxlenratio", "0.3", "--nbest", "2"]
    command += ["--data_path_and_name_and_type", f"{audio / 'wav.scp'},speech,sound", "--enh_s2t_task", "true"]
    command += ["--asr_train_config", str(folder / "config.yaml"), "--asr_model_file", str(folder / "model.pth")]
    # Without oneDNN, as the recipe decodes: depthwise convolutions are sums then.
    asr_inference.main([*command, *options], use_onednn=False)
    return {path.relative_to(out).as_posix(): path.read_text().splitlines() for path in out.rglob("*recog/*")}


def test_the_files_are_espnets(model, audio, tmp_path, monkeypatch):
    # Three utterances are read at a time.
    monkeypatch.setattr(batch_recognition, "_WINDOW", 3)
    alone = decode(model, audio, tmp_path / "alone")
    together = decode(model, audio, tmp_path / "together", "--batch_size", "3")
    assert alone.keys() == together.keys()
    assert len(alone) == (16 if model[1] == "two speakers" else 8)
    for name, lines in alone.items():
        if "score" not in name:
            assert together[name] == lines, name
            continue
        for expected, found in zip(lines, together[name], strict=True):
            (utt, score), (other, value) = expected.split(), found.split()
            assert utt == other
            assert float(value[7:-1]) == pytest.approx(float(score[7:-1]), rel=1e-4, abs=1e-4)
    assert len({line.split(" ", 1)[1] for line in alone["1best_recog/text_spk1"]}) > 1


@pytest.mark.parametrize("model", ["encoded together"], indirect=True)
def test_what_cannot_be_recognized_is_named_and_the_others_are_done(model, audio, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.full(100, 0.1), 16000)
    (tmp_path / "wav.scp").write_text((audio / "wav.scp").read_text() + f"u9 {tmp_path}/short.wav\n")
    out = tmp_path / "out"
    with pytest.raises(NotRecognized, match=r"^u9: .*100 samples, but .* needs at least"):
        decode(model, tmp_path, out, "--batch_size", "3")
    written = (out / "1best_recog" / "text_spk1").read_text().splitlines()
    assert written == decode(model, audio, tmp_path / "all")["1best_recog/text_spk1"]


@pytest.mark.parametrize("model", ["encoded together", "attention"], indirect=True)
def test_frames_that_are_no_numbers_give_no_transcript(model, audio, tmp_path, monkeypatch):
    """Whatever hypothesis the search would take is as good as any other."""
    begin = batch_recognition.BatchRecognizer.__init__

    def broken(self, decode, **options):
        decode.asr_model.s2t_model.ctc.ctc_lo.bias.data.fill_(torch.nan)
        begin(self, decode, **options)

    monkeypatch.setattr(batch_recognition.BatchRecognizer, "__init__", broken)
    with pytest.raises(NotRecognized, match=r"^u0: not recognized: .* no numbers; u1: .*u4: "):
        decode(model, audio, tmp_path / "out", "--batch_size", "3")


def test_depthwise_convolutions_are_torchs():
    torch.manual_seed(0)
    depthwise = [
        torch.nn.Conv1d(6, 6, 3, padding=4, dilation=4, groups=6, bias=False),
        torch.nn.Conv1d(6, 6, 2, dilation=3, groups=6),
    ]
    others = [
        torch.nn.Conv1d(6, 6, 3, groups=3),
        torch.nn.Conv1d(6, 6, 3, stride=2, groups=6),
        torch.nn.Conv1d(6, 6, 1),
    ]
    model = torch.nn.Sequential(*depthwise, *others)
    signal = torch.randn(3, 6, 40)
    expected = model(signal)
    shift_depthwise(model)
    assert [isinstance(part, ShiftedConv1d) for part in model] == [True, True, False, False, False]
    with onednn(False), torch.no_grad():
        torch.testing.assert_close(model(signal), expected.detach(), rtol=1e-5, atol=1e-6)
