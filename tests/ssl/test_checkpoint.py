import inspect
import os

import pytest
import torch
import torchaudio
import yaml
from tiny_architectures import TINY

from espnet_plugins.ssl import build_upstream, export_espnet_hubert, save_upstream


def tiny_model(**changes):
    torch.manual_seed(0)
    return torchaudio.models.wav2vec2_model(**{**TINY, **changes}, aux_num_out=None).eval()


def test_round_trip(tmp_path, batch):
    model = tiny_model()
    save_upstream(tmp_path / "u.pt", architecture=TINY, state_dict=model.state_dict(), sample_rate=16000)
    content = torch.load(tmp_path / "u.pt", weights_only=True)
    assert content["format"] == "espnet_plugins.upstream/1"
    upstream = build_upstream("local", checkpoint=tmp_path / "u.pt")
    torch.testing.assert_close(upstream(batch[0])[0], model(batch[0])[0])
    assert os.listdir(tmp_path) == ["u.pt"]


def test_a_recognition_head_is_left_out(tmp_path, batch):
    torch.manual_seed(0)
    model = torchaudio.models.wav2vec2_model(**TINY, aux_num_out=5)
    save_upstream(tmp_path / "u.pt", architecture={**TINY, "aux_num_out": 5}, state_dict=model.state_dict())
    assert build_upstream("local", checkpoint=tmp_path / "u.pt")(batch[0])[0].shape[-1] == 32


def test_weights_that_do_not_fit_are_not_written(tmp_path):
    weights = tiny_model(encoder_num_layers=2).state_dict()
    with pytest.raises(ValueError, match=r"does not fit its architecture: missing .*layers\.2"):
        save_upstream(tmp_path / "u.pt", architecture=TINY, state_dict=weights)
    with pytest.raises(ValueError, match=r"do not fit.*encoder_dept"):
        save_upstream(tmp_path / "u.pt", architecture={**TINY, "encoder_dept": 2}, state_dict=weights)
    assert not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "u.pt"
    weights = tiny_model().state_dict()
    save_upstream(path, architecture=TINY, state_dict=weights)
    before = path.read_bytes()

    def full(content, file):
        file.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        save_upstream(path, architecture=TINY, state_dict=weights)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["u.pt"]


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "u.pt"
    path.write_text("no tensor")
    with pytest.raises(ValueError, match=r"u\.pt cannot be read"):
        build_upstream("local", checkpoint=path)
    torch.save(tiny_model().state_dict(), path)
    with pytest.raises(ValueError, match=r"upstream/1.*save_upstream.*export_espnet_hubert"):
        build_upstream("local", checkpoint=path)
    torch.save({"format": "espnet_plugins.upstream/1", "architecture": TINY}, path)
    with pytest.raises(ValueError, match="lacks state_dict, normalize_waveform, sample_rate"):
        build_upstream("local", checkpoint=path)


@pytest.fixture
def espnet_experiment(tmp_path):
    """A HuBERT as ESPnet's HubertTask saves it: the encoder under ``encoder.``, options in config.yaml."""
    from espnet2.asr.encoder.hubert_encoder import TorchAudioHuBERTPretrainEncoder

    conf = {name: value for name, value in TINY.items() if name != "encoder_pos_conv_groups"}
    torch.manual_seed(0)
    encoder = TorchAudioHuBERTPretrainEncoder(input_size=1, **conf, num_classes=7, final_dim=8).eval()

    def write(**settings):
        config = {
            "encoder": "torchaudio_hubert",
            "encoder_conf": {**conf, "final_dim": 8},
            "num_classes": 7,
            "frontend": None,
            "preencoder": None,
            "normalize": None,
            "normalize_conf": {},
            **settings,
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        torch.save(weights, tmp_path / "valid.loss.best.pth")
        return tmp_path / "config.yaml", tmp_path / "valid.loss.best.pth", tmp_path / "upstream.pt"

    return encoder, write


def test_espnet_hubert_becomes_an_upstream(espnet_experiment, batch):
    encoder, write = espnet_experiment
    *_, out = files = write()
    export_espnet_hubert(*files)
    upstream = build_upstream("local", checkpoint=out, layers="all")
    expected, _ = encoder.hubert_pretrain_model.wav2vec2.extract_features(batch[0])
    torch.testing.assert_close(upstream(batch[0])[0][1:], torch.stack(expected))
    assert not upstream.backbone.spec.normalize_waveform


def test_utterance_normalization_of_the_experiment_is_kept(espnet_experiment):
    _, write = espnet_experiment
    *_, out = files = write(normalize="utterance_mvn", normalize_conf={"norm_vars": True})
    export_espnet_hubert(*files)
    assert build_upstream("local", checkpoint=out).backbone.spec.normalize_waveform


def test_left_out_options_mean_the_same_here_and_in_espnet():
    from espnet2.asr.encoder.hubert_encoder import TorchAudioHuBERTPretrainEncoder

    defaults = inspect.signature(TorchAudioHuBERTPretrainEncoder).parameters
    for name, value in torchaudio.pipelines.HUBERT_BASE._params.items():
        if name == "extractor_conv_layer_config":
            assert [tuple(layer) for layer in defaults[name].default] == value
        elif name != "aux_num_out":
            assert defaults[name].default == value, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": "hubert_pretrain"}, "encoder is 'hubert_pretrain'.*'torchaudio_hubert'"),
        ({"frontend": "default"}, "frontend is 'default'"),
        ({"normalize": "global_mvn"}, "normalize 'global_mvn'.*utterance_mvn"),
    ],
)
def test_other_experiments_are_refused(espnet_experiment, settings, message):
    _, write = espnet_experiment
    files = write(**settings)
    with pytest.raises(ValueError, match=message):
        export_espnet_hubert(*files)
    assert not files[2].exists()


def test_missing_experiment(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.yaml: no such file"):
        export_espnet_hubert(tmp_path / "config.yaml", tmp_path / "model.pth", tmp_path / "out.pt")
