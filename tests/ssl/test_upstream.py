import copy

import pytest
import torch
import torchaudio
from tiny_architectures import LARGE, WAVLM
from torch.nn.functional import layer_norm

from espnet_plugins.ssl import build_upstream, hidden

KINDS = {
    "base": {},
    "large": {**LARGE, "normalize_waveform": True},
    "wavlm": WAVLM,
    "wavlm_large": {**WAVLM, **LARGE, "normalize_waveform": True},
}


@pytest.fixture(params=KINDS)
def upstream(request, make_upstream):
    return build_upstream("local", checkpoint=make_upstream(**KINDS[request.param]), layers="all")


def torchaudio_model(upstream):
    return upstream.backbone.model(torch.device("cpu")).model


def alone(upstream, waveform, lengths, row):
    return upstream(waveform[row : row + 1, : lengths[row]])[0][:, 0]


def test_utterance_in_a_padded_batch_has_the_features_it_has_alone(upstream, batch):
    waveform, lengths = batch
    frames, frame_lengths = upstream(waveform, lengths)
    assert frame_lengths.tolist() == [27, 49, 38] == upstream.frame_lengths(lengths).tolist()
    assert frames.shape == (4, 3, 49, 32)
    for row, length in enumerate(frame_lengths):
        torch.testing.assert_close(frames[:, row, :length], alone(upstream, waveform, lengths, row), rtol=0, atol=1e-5)
        assert not frames[:, row, length:].any()


def test_the_parts_of_a_batch_change_no_value_and_no_gradient(upstream, batch, monkeypatch):
    waveform, lengths = batch
    lengths[2] = lengths[0]
    probe = torch.arange(32.0).sin()
    found, rows = [], []
    layer = torchaudio_model(upstream).encoder.transformer.layers[0]
    hook = layer.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    for price in (1000, 0):  # frames of padding
        monkeypatch.setattr(hidden, "_PART", price)
        monkeypatch.setattr(hidden, "_PART_OF_FEATURES", 0)
        leaf = waveform.clone().requires_grad_()
        frames, _ = upstream(leaf, lengths)
        found.append((frames, *torch.autograd.grad((frames * probe).sum(), leaf)))
    hook.remove()
    assert rows == [3, 1, 2]
    (together, expected), (apart, gradient) = found
    torch.testing.assert_close(apart, together, rtol=0, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3)
    assert not apart[:, 0, 27:].any()


@pytest.mark.parametrize("width", [64, 768])
def test_no_other_division_of_a_batch_costs_less(width):
    def cost(parts):
        padding = sum(max(frames[row] for row in part) - frames[row] for part in parts for row in part)
        return padding + len(parts) * (hidden._PART + hidden._PART_OF_FEATURES / width)

    def divisions(rows):
        if not rows:
            yield []
            return
        first, *others = rows
        for rest in divisions(others):
            yield [[first], *rest]
            for k, part in enumerate(rest):
                yield [*rest[:k], [first, *part], *rest[k + 1 :]]

    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        frames = torch.randint(1, 600, (5,), generator=generator).tolist()
        parts = hidden.in_parts(frames, width)
        assert sorted(row for part in parts for row in part) == [*range(5)]
        assert cost(parts) == pytest.approx(min(cost(one) for one in divisions([*range(5)])))


def test_without_this_care_group_norm_sees_the_padding(make_upstream, batch):
    waveform, lengths = batch
    upstream = build_upstream("local", checkpoint=make_upstream())
    waveform[0, 9000:] = 0
    careless, _ = torchaudio_model(upstream)(waveform, lengths)
    careful, frame_lengths = upstream(waveform, lengths)
    assert (careless - careful)[0, : frame_lengths[0]].abs().max() > 1e-2


def test_what_stands_behind_the_end_has_no_effect(upstream, batch):
    waveform, lengths = batch
    expected, _ = upstream(waveform, lengths)
    waveform[0, 9000:] = torch.nan
    waveform[2, 12345:] = torch.inf
    assert torch.equal(upstream(waveform, lengths)[0], expected)


def test_gradient_in_a_batch_is_that_of_the_utterance_alone(upstream, batch):
    waveform, lengths = batch
    waveform.requires_grad_()
    probe = torch.arange(32.0).sin()  # what layer norms leave of a plain sum is zero
    (together,) = torch.autograd.grad((upstream(waveform, lengths)[0] * probe).sum(), waveform)
    for row, length in enumerate(lengths):
        single = waveform[row : row + 1, :length].detach().requires_grad_()
        (expected,) = torch.autograd.grad((upstream(single)[0] * probe).sum(), single)
        torch.testing.assert_close(together[row, :length], expected[0], rtol=1e-3, atol=1e-3)
        assert expected.abs().max() > 0.1
        assert not together[row, length:].any()


def test_single_utterance_gives_torchaudios_output(upstream, batch):
    assert_equal_to_torchaudio(upstream, batch[0][:1], torchaudio_model(upstream))


@pytest.mark.parametrize("name", ["hubert_base", "wavlm_base_plus", "hubert_large"])
def test_real_configuration(name, batch):
    upstream = build_upstream(name, pretrained=False, layers="all")
    bundle = getattr(torchaudio.pipelines, name.upper())
    factory = torchaudio.models.wavlm_model if "wavlm" in name else torchaudio.models.wav2vec2_model
    model = factory(**bundle._params).eval()
    model.load_state_dict(torchaudio_model(upstream).state_dict())
    waveform, lengths = batch[0][:2, :8000], torch.tensor([5000, 8000])
    with torch.no_grad():
        assert_equal_to_torchaudio(upstream, waveform[1:], model)
        frames, frame_lengths = upstream(waveform, lengths)
        expected = alone(upstream, waveform, lengths, 0)
    assert frames.shape == (bundle._params["encoder_num_layers"] + 1, 2, 24, upstream.feature_dim)
    torch.testing.assert_close(frames[:, 0, : frame_lengths[0]], expected, rtol=0, atol=1e-4)


def assert_equal_to_torchaudio(upstream, waveform, model):
    frames, _ = upstream(waveform)
    if upstream.backbone.spec.normalize_waveform:
        waveform = layer_norm(waveform, waveform.shape[1:])
    blocks, _ = model.extract_features(waveform)
    final, _ = model(waveform)
    torch.testing.assert_close(frames[1:-1], torch.stack(blocks[:-1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(frames[-1], final, rtol=0, atol=1e-5)
    features, _ = model.feature_extractor(waveform, None)
    first = model.encoder.transformer._preprocess(model.encoder.feature_projection(features))
    torch.testing.assert_close(frames[0], first, rtol=0, atol=1e-5)


def test_large_waveforms_are_normalized_over_their_own_samples(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream(**KINDS["large"]))
    waveform, lengths = batch
    lengths[0] = 16000  # two of one length go through the convolutions together
    loud = 10 * waveform
    expected = upstream(loud, lengths)
    scaled = loud * torch.tensor([[1.0], [5.0], [0.5]]) + 0.5
    torch.testing.assert_close(upstream(scaled, lengths), expected, rtol=0, atol=1e-3)


def test_layer_choice(make_upstream, batch):
    checkpoint = make_upstream()
    every, lengths = build_upstream("local", checkpoint=checkpoint).all_layers(*batch)
    assert every.shape[0] == 4
    last, _ = build_upstream("local", checkpoint=checkpoint)(*batch)
    some, _ = build_upstream("local", checkpoint=checkpoint, layers=[2, 0, 2])(*batch)
    first, _ = build_upstream("local", checkpoint=checkpoint)(*batch, layers=0)
    torch.testing.assert_close(last, every[-1])
    torch.testing.assert_close(some, every[[2, 0, 2]])
    torch.testing.assert_close(first, every[0])
    assert first.shape == (3, lengths.max(), 32)


def test_blocks_above_the_highest_layer_are_not_computed(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    computed = []
    for index, layer in enumerate(torchaudio_model(upstream).encoder.transformer.layers):
        layer.register_forward_hook(lambda *_, index=index: computed.append(index))
    upstream(*batch, layers=[0, 2])
    assert computed == [0, 1]


def test_frozen(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    owner = torch.nn.Sequential(upstream)
    owner.train()
    expected, _ = upstream(*batch)
    assert torch.equal(upstream(*batch)[0], expected)  # dropout and layer drop would differ
    assert not upstream.training
    assert not owner.state_dict()
    assert not list(owner.parameters())
    model = upstream.backbone.model(torch.device("cpu"))
    assert not any(module.training for module in model.modules())
    before = copy.deepcopy(model.state_dict())
    waveform = batch[0].clone().requires_grad_()
    upstream(waveform, batch[1])[0].sum().backward()
    assert waveform.grad.any()
    assert all(not weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_no_graph_without_need(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    assert not upstream(*batch)[0].requires_grad
    with torch.no_grad():
        assert not upstream(batch[0].clone().requires_grad_(), batch[1])[0].requires_grad


def test_weights_are_read_on_first_use_and_shared_by_copies(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    assert not upstream.backbone.loaded
    assert copy.deepcopy(upstream).backbone is upstream.backbone
    upstream(*batch)
    assert upstream.backbone.loaded


def test_random_weights_are_those_of_every_process_and_leave_the_generator_alone():
    def first_weight():
        upstream = build_upstream("hubert_base", pretrained=False)
        return torchaudio_model(upstream).feature_extractor.conv_layers[0].conv.weight

    torch.manual_seed(3)
    expected, one = torch.rand(1), first_weight()
    torch.manual_seed(4)
    assert torch.equal(first_weight(), one)
    torch.manual_seed(3)
    first_weight()
    assert torch.equal(torch.rand(1), expected)


def test_autocast_changes_nothing(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream(), layers="all")
    expected, _ = upstream(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames, _ = upstream(*batch)
    assert frames.dtype == torch.float32
    assert torch.equal(frames, expected)


def test_half_precision_waveforms_are_computed_in_float32(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    half = batch[0].bfloat16().requires_grad_()
    frames, _ = upstream(half, batch[1])
    torch.testing.assert_close(frames, upstream(half.float(), batch[1])[0])
    frames.sum().backward()
    assert half.grad.dtype == torch.bfloat16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_follows_the_device_of_the_input(upstream, batch, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    waveform, lengths = batch
    expected, _ = upstream(waveform, lengths)
    frames, frame_lengths = upstream(waveform.cuda(), lengths.cuda())
    assert frames.is_cuda
    assert frame_lengths.is_cuda
    torch.testing.assert_close(frames.cpu(), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(upstream(waveform, lengths)[0], expected)
    for row, length in enumerate(frame_lengths):
        single = upstream(waveform[row : row + 1, : lengths[row]].cuda())[0][:, 0]
        torch.testing.assert_close(frames[:, row, :length], single, rtol=0, atol=1e-4)


def test_short_utterances_are_named(make_upstream, batch):
    upstream = build_upstream("local", checkpoint=make_upstream())
    with pytest.raises(ValueError, match=r"utterance 1 of the batch has 399 samples.*at least 400"):
        upstream(batch[0], torch.tensor([400, 399, 16000]))


@pytest.mark.parametrize(
    ("waveform", "lengths", "message"),
    [
        (torch.zeros(16000), None, r"batch, samples"),
        (torch.zeros(1, 16000, dtype=torch.int16), None, "int16"),
        (torch.zeros(2, 16000), torch.tensor([16000]), r"shape \(2,\)"),
        (torch.zeros(2, 16000), torch.tensor([16000, 16001]), "utterance 1: length 16001 exceeds"),
    ],
)
def test_wrong_input(make_upstream, waveform, lengths, message):
    upstream = build_upstream("local", checkpoint=make_upstream())
    with pytest.raises(ValueError, match=message):
        upstream(waveform, lengths)


def test_wrong_options():
    with pytest.raises(ValueError, match=r"hubert_bas'.*hubert_base.*huggingface.*local"):
        build_upstream("hubert_bas")
    with pytest.raises(ValueError, match=r"local.*needs `checkpoint`"):
        build_upstream("local")
    with pytest.raises(ValueError, match=r"huggingface.*needs `checkpoint`"):
        build_upstream("huggingface")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_upstream("hubert_base", checkpoint="nowhere.pth")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_upstream("local", checkpoint="nowhere.pt")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        build_upstream("huggingface", checkpoint="nowhere")
    with pytest.raises(ValueError, match="exclude each other"):
        build_upstream("hubert_base", checkpoint="x.pth", pretrained=False)
    with pytest.raises(ValueError, match="stands for a torchaudio bundle"):
        build_upstream("local", pretrained=False)
    with pytest.raises(ValueError, match=r"0\.\.12"):
        build_upstream("hubert_base", pretrained=False, layers=13)
