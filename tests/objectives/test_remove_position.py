import pytest
import soundfile
import torch
from torch.nn.functional import normalize

from espnet_plugins.objectives import SSL_CRITERIA
from espnet_plugins.objectives.without_position import Speech, training_speech
from espnet_plugins.ssl import UpstreamWithoutPosition, get_shared_upstream


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of six utterances, with their wav.scp."""
    path = tmp_path_factory.mktemp("clean speech")
    generator = torch.Generator().manual_seed(0)
    lines = []
    for number in range(6):
        waveform = 0.1 * torch.randn(12000, generator=generator)
        soundfile.write(path / f"{number}.wav", waveform.numpy(), 16000)
        lines.append(f"utt{number} {path / str(number)}.wav\n")
    (path / "wav.scp").write_text("".join(lines))
    return path


@pytest.fixture
def options(make_upstream):
    checkpoint = str(make_upstream(positions="conv_sinusoidal", position_scale=2.0))
    return {"upstream": {"model": "local", "checkpoint": checkpoint}, "normalize_frames": True, "layer": 1}


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(2, 16000, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("name", sorted(SSL_CRITERIA))
def test_every_criterion_has_the_option(name, options, folder, pair):
    criterion = SSL_CRITERIA[name](**options, remove_position={"speech": str(folder)})
    estimate = pair[1].requires_grad_()
    loss = criterion(pair[0], estimate, torch.tensor([16000, 12000]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert estimate.grad.abs().max() > 0
    plain = SSL_CRITERIA[name](**options)
    assert type(plain.upstream) is type(get_shared_upstream(**options["upstream"]))
    assert plain.upstream.backbone is criterion.upstream.backbone
    assert not torch.allclose(loss, plain(pair[0], estimate, torch.tensor([16000, 12000])))


def test_taken_off_before_frames_are_normalized(options, folder, pair):
    criterion = SSL_CRITERIA["ssl_mse"](**options, remove_position={"speech": str(folder), "turns": 2})
    upstream = get_shared_upstream(**options["upstream"])
    without = UpstreamWithoutPosition(
        upstream,
        speech=Speech(str(folder)).read,
        key="other",
        unit_length=True,
        turns=2,
    )
    frames = [normalize(without(waveform, layers=1)[0], dim=-1) for waveform in pair]
    expected = (frames[0] - frames[1]).square().sum(-1).mean(-1)
    torch.testing.assert_close(criterion(*pair), expected)


def test_the_training_set_is_the_default(options, folder, pair):
    data = [["noisy.scp", "speech_mix", "sound"], [str(folder / "wav.scp"), "speech_ref1", "sound"]]
    with training_speech(data):
        default = SSL_CRITERIA["ssl_mse"](**options, remove_position=True)
    given = SSL_CRITERIA["ssl_mse"](**options, remove_position={"speech": str(folder / "wav.scp")})
    torch.testing.assert_close(default(*pair), given(*pair))
    # A model that is only applied never needs it.
    criterion = SSL_CRITERIA["ssl_mse"](**options, remove_position=True)
    with pytest.raises(ValueError, match=r"no training set with speech_ref1 is known here; give .*speech: PATH"):
        criterion(*pair)


def test_an_even_choice(folder):
    assert len(Speech(str(folder), utterances=3).read()) == 3
    expected = [torch.from_numpy(soundfile.read(folder / f"{k}.wav", dtype="float32")[0]) for k in (0, 2, 4)]
    for kind, path in (("sound", folder / "wav.scp"), ("sound", folder)):
        for found, waveform in zip(Speech(str(path), kind, utterances=3).read(), expected, strict=True):
            assert torch.equal(found, waveform)


def test_wrong_options(options, folder, pair, tmp_path):
    make = SSL_CRITERIA["ssl_mse"]
    with pytest.raises(ValueError, match=r"ssl_mse: remove_position: unknown key speed; accepted keys are speech"):
        make(**options, remove_position={"speed": 1})
    with pytest.raises(ValueError, match="remove_position: 'yes' must be a mapping"):
        make(**options, remove_position="yes")
    with pytest.raises(ValueError, match="remove_position: utterances: 3 is not accepted"):
        make(**options, remove_position={"utterances": 3})
    with pytest.raises(ValueError, match="speech: 5 is not accepted"):
        make(**options, remove_position={"speech": 5})
    with pytest.raises(FileNotFoundError, match=r"no such wav\.scp or folder"):
        make(**options, remove_position={"speech": "nowhere"})(*pair)
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", torch.zeros(9000).numpy(), 8000)
    with pytest.raises(ValueError, match=r"0\.wav has 8000 Hz, the upstream takes 16000"):
        make(**options, remove_position={"speech": str(tmp_path)})(*pair)
    (tmp_path / "wav.scp").write_text("".join(f"{number} {tmp_path / str(number)}.wav\n" for number in range(4)))
    with pytest.raises(ValueError, match=r"wav\.scp has 8000 Hz, the upstream takes 16000"):
        make(**options, remove_position={"speech": str(tmp_path / "wav.scp")})(*pair)
    (tmp_path / "0.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"0\.wav cannot be read"):
        make(**options, remove_position={"speech": str(tmp_path)})(*pair)
