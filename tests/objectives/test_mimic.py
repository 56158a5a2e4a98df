"""Mimic loss: values, gradients and lengths against the recognizer called by hand; files of the recognizer."""

import copy

import pytest
import torch
import yaml

from espnet_plugins.objectives import Mimic
from espnet_plugins.ssl import share_passes
from espnet_plugins.tasks import RecognitionTask

TOKENS = ["<blank>", "<unk>", "\u2581one", "\u2581two", "<sos/eos>"]


@pytest.fixture(scope="session")
def files(make_upstream, tmp_path_factory):
    """A recognizer as stage 4 leaves it, with weights that no seed of a test gives."""
    folder = tmp_path_factory.mktemp("recognizer")
    settings = {
        "token_list": TOKENS,
        "frontend": "frozen_ssl",
        "frontend_conf": {"upstream": {"model": "local", "checkpoint": str(make_upstream())}},
        "specaug": None,
        "normalize": "utterance_mvn",
        "encoder": "rnn",
        "encoder_conf": {"num_layers": 2, "hidden_size": 8, "output_size": 8, "subsample": [2, 2], "dropout": 0.5},
        "decoder": None,
        "model_conf": {"ctc_weight": 1.0},
        "output_dir": str(folder),
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    args = RecognitionTask.get_parser().parse_args(["--config", str(folder / "train.yaml")])
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = RecognitionTask.build_model(args)
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
    torch.save(model.state_dict(), folder / "model.pth")
    return {"weights": str(folder / "model.pth")}


@pytest.fixture
def pair(batch):
    waveform, lengths = batch
    reference = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 0.0)
    return reference, (0.3 * reference + 0.7 * reference.roll(7, 1)).requires_grad_(), lengths


@pytest.mark.parametrize("output", ["encoder", "logits"])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_the_value_is_the_distance_of_the_recognizers_frames(files, pair, output, distance):
    reference, estimate, lengths = pair
    found = Mimic(recognizer=files, output=output, distance=distance)(reference, estimate, lengths)
    model, _ = RecognitionTask.build_model_from_file(model_file=files["weights"])
    model.eval()
    for row, length in enumerate(lengths.tolist()):
        frames = [model.encode(w[row : row + 1, :length], lengths[row : row + 1])[0] for w in (reference, estimate)]
        if output == "logits":
            frames = [model.ctc.ctc_lo(f) for f in frames]
        difference = (frames[0] - frames[1]).abs()
        expected = (difference if distance == "l1" else difference**2).mean()
        torch.testing.assert_close(found[row], expected, rtol=1e-2, atol=0)
        assert expected > 0


def test_gradient_reaches_the_estimate_alone(files, pair):
    reference, estimate, lengths = pair
    criterion = Mimic(recognizer=files)
    criterion(reference, estimate, lengths).sum().backward()
    assert estimate.grad.any()
    assert not estimate.grad[0, int(lengths[0]) :].any()
    assert all(p.grad is None for p in criterion.recognizer.model(torch.device("cpu")).parameters())


def test_it_is_zero_for_the_reference_itself_and_dropout_is_off(files, pair):
    reference, _, lengths = pair
    assert Mimic(recognizer=files).train()(reference, reference, lengths).abs().max() == 0


def test_nothing_of_the_recognizer_is_in_the_criterion_and_it_is_built_when_called(files, pair):
    criterion = Mimic(recognizer=files)
    assert criterion.recognizer._model is None
    torch.manual_seed(3)
    criterion(*pair)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert not criterion.state_dict()
    assert not list(criterion.parameters())
    assert copy.deepcopy(criterion).recognizer is criterion.recognizer


def test_the_estimate_is_passed_through_the_upstream_once_with_the_recognizer(files, pair):
    reference, estimate, lengths = (values[[1, 2, 0]] for values in pair)
    criterion = Mimic(recognizer=files)
    upstream = criterion.recognizer.model(torch.device("cpu")).frontend.upstream
    seen = []
    layer = upstream.backbone.model(torch.device("cpu")).model.feature_extractor.conv_layers[0]
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    with share_passes():
        criterion(reference, estimate, lengths)
        upstream.all_layers(estimate, lengths)
    handle.remove()
    assert sum(seen) == 6


def test_unit_frames_and_temporal_regularizer(files, pair):
    plain, unit = Mimic(recognizer=files), Mimic(recognizer=files, normalize_frames=True, distance="l2")
    assert not torch.allclose(plain(*pair), unit(*pair))
    frames, lengths = unit.frames(pair[0], pair[2])
    torch.testing.assert_close(frames[0, : lengths[0]].norm(dim=-1), torch.ones(int(lengths[0])))
    regularized = Mimic(recognizer=files, temporal={"weight": 0.1})
    torch.testing.assert_close(regularized(*pair) - plain(*pair), 0.1 * regularized.stats["mimic_temporal"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "decoder"}, "mimic: output: 'decoder' is not accepted; give one of 'encoder', 'logits'"),
        ({"distance": "l3"}, "mimic: distance: 'l3'"),
        ({"upstream": {}}, "mimic: unknown key upstream; accepted keys are distance, name"),
        ({"recognizer": {}}, "mimic: recognizer: give the file of its weights"),
        ({"recognizer": {"model": "a"}}, "mimic: recognizer: unknown key model; accepted keys are config, weights"),
    ],
)
def test_wrong_options(files, options, message):
    with pytest.raises(ValueError, match=message):
        Mimic(**{"recognizer": files, **options})


def test_the_older_name_of_the_recognizer_warns_once(files, caplog):
    assert Mimic(recogniser=files).recognizer.weights == Mimic(recognizer=files).recognizer.weights
    assert caplog.messages == ["mimic: recogniser is now called recognizer; the older name goes with the next release"]
    with pytest.raises(ValueError, match="mimic: unknown key recogniser"):
        Mimic(recogniser=files, recognizer=files)


def test_missing_files(files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: no such file; train the recognizer first"):
        Mimic(recognizer={"weights": str(tmp_path / "gone.pth")})
    with pytest.raises(FileNotFoundError, match=r"config\.yaml"):
        Mimic(recognizer={**files, "config": str(tmp_path / "config.yaml")})


def test_a_recognizer_that_cannot_be_compared(files, tmp_path, pair):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    config = files["weights"].replace("model.pth", "config.yaml")
    with pytest.raises(ValueError, match=r"other\.pth does not fit its config\.yaml"):
        Mimic(recognizer={"weights": str(tmp_path / "other.pth"), "config": config})(*pair)
