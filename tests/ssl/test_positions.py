"""Upstreams with other positions: what each knows, and that files keep it."""

import pytest
import torch
from tiny_architectures import TINY

from espnet_plugins.ssl import build_upstream, export_espnet_hubert
from espnet_plugins.ssl.positions import NoPositions, SinusoidalPositions, set_positions


def frames(path, waveform):
    return build_upstream("local", checkpoint=path)(waveform, layers="all")[0]


@pytest.mark.parametrize(("positions", "free"), [("none", True), ("conv", False), ("conv_sinusoidal", False)])
def test_only_none_gives_the_same_frames_in_another_order(make_upstream, positions, free):
    path = make_upstream(extractor_mode="layer_norm", positions=positions)
    ring = 0.1 * torch.randn(1, 320 * 30, generator=torch.Generator().manual_seed(0))
    still, turned = (torch.cat([x, x[:, :80]], 1) for x in (ring, ring.roll(7 * 320, 1)))
    expected = frames(path, still).roll(7, 2)
    assert torch.allclose(frames(path, turned), expected, atol=1e-5) is free


def test_sinusoids_are_those_of_the_paper():
    got = SinusoidalPositions(NoPositions(), scale=2.0)(torch.zeros(1, 50, 6))[0]
    for index in (0, 7, 49):
        for k in range(3):
            angle = torch.tensor(index / 10000 ** (2 * k / 6))
            torch.testing.assert_close(got[index, k], 2 * angle.sin(), atol=1e-5, rtol=0)
            torch.testing.assert_close(got[index, 3 + k], 2 * angle.cos(), atol=1e-5, rtol=0)


def test_a_batch_of_unequal_lengths_is_as_each_alone(make_upstream, batch):
    for positions in ("none", "conv_sinusoidal"):
        upstream = build_upstream("local", checkpoint=make_upstream(positions=positions), layers="all")
        together, lengths = upstream(*batch)
        for row, (samples, count) in enumerate(zip(batch[1].tolist(), lengths.tolist(), strict=True)):
            alone = upstream(batch[0][row : row + 1, :samples])[0]
            torch.testing.assert_close(together[:, row, :count], alone[:, 0], atol=1e-5, rtol=1e-4)


def test_other_positions_are_refused():
    with pytest.raises(ValueError, match=r"positions: 'rotary'.*none, conv, conv_sinusoidal"):
        set_positions(None, "rotary")


@pytest.mark.parametrize("positions", ["none", "conv_sinusoidal"])
def test_what_espnet_pretrained_is_exported_with_its_positions(tmp_path, batch, positions):
    import yaml

    from espnet_plugins.pretrain import PositionalHuBERT

    torch.manual_seed(0)
    conf = {**TINY, "positions": positions, "position_scale": 0.5}
    encoder = PositionalHuBERT(num_classes=4, **conf).eval()
    settings = {"encoder": "positional_hubert", "encoder_conf": conf, "frontend": None, "preencoder": None}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**settings, "normalize": None}))
    torch.save({f"encoder.{name}": value for name, value in encoder.state_dict().items()}, tmp_path / "model.pth")
    export_espnet_hubert(tmp_path / "config.yaml", tmp_path / "model.pth", tmp_path / "u.pt")
    exported = frames(tmp_path / "u.pt", batch[0])[-1]
    torch.testing.assert_close(exported, encoder.hubert_pretrain_model.wav2vec2(batch[0])[0])


def test_unmasked_frames_join_the_loss_when_asked(batch):
    from espnet_plugins.pretrain import PositionalHuBERT

    counts = {}
    for everything in (False, True):
        torch.manual_seed(0)
        encoder = PositionalHuBERT(num_classes=4, **TINY, positions="none", predict_unmasked=everything)
        lengths = torch.full((3,), 16000)
        masked, unmasked, _ = encoder(batch[0], lengths, torch.zeros(3, 49, dtype=torch.long))
        counts[everything] = len(masked), len(unmasked)
    assert counts[False][1] > 0
    assert counts[True] == (sum(counts[False]), counts[False][1])
    assert counts[True][0] == 3 * 49
