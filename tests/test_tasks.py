"""The joint model on real ESPnet modules: weights, lengths, one shared upstream pass, what moves."""

import argparse

import pytest
import torch
import yaml

import espnet_plugins.ssl.passes as passes
from espnet_plugins.tasks import JointTask

TOKENS = ["<blank>", "<unk>", "\u2581one", "\u2581two", "<sos/eos>"]


def config(upstream, *, criterion="ssl_mse", num_spk=1, **model_conf):
    wrapper = "fixed_order" if criterion == "si_snr" else "inherit_permutation"
    conf = {} if criterion == "si_snr" else {"upstream": upstream}
    criteria = [{"name": criterion, "conf": conf, "wrapper": wrapper, "wrapper_conf": {"weight": 1.0}}]
    if num_spk > 1:
        criteria.insert(0, {"name": "si_snr", "conf": {}, "wrapper": "pit", "wrapper_conf": {"weight": 0.0}})
    return {
        "subtask_series": ["enh", "asr"],
        "enh_encoder": "conv",
        "enh_encoder_conf": {"channel": 8, "kernel_size": 32, "stride": 16},
        "enh_separator": "tcn",
        "enh_separator_conf": {
            "num_spk": num_spk,
            "layer": 2,
            "stack": 1,
            "bottleneck_dim": 8,
            "hidden_dim": 8,
            "nonlinear": "relu",
        },
        "enh_decoder": "conv",
        "enh_decoder_conf": {"channel": 8, "kernel_size": 32, "stride": 16},
        "enh_criterions": criteria,
        "frontend": "frozen_ssl",
        "frontend_conf": {"upstream": upstream},
        "specaug": None,
        "normalize": "utterance_mvn",
        "asr_encoder": "transformer",
        "asr_encoder_conf": {
            "output_size": 8,
            "attention_heads": 2,
            "linear_units": 8,
            "num_blocks": 1,
            "input_layer": "linear",
        },
        "asr_decoder": None,
        "asr_model_conf": {"ctc_weight": 1.0},
        "model_conf": model_conf,
        "token_list": TOKENS,
        "use_preprocessor": False,
        "output_dir": "unused",
    }


@pytest.fixture
def build(make_upstream, tmp_path):
    def make(**options):
        upstream = {"model": "local", "checkpoint": str(make_upstream())}
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(config(upstream, **options)))
        torch.manual_seed(0)
        args = JointTask.get_parser().parse_args(["--config", str(path)])
        return JointTask.build_model(argparse.Namespace(**vars(args)))

    return make


@pytest.fixture
def data(batch):
    # The longest utterance first, as ESPnet's batches come.
    waveform, lengths = batch[0][[1, 2, 0]], batch[1][[1, 2, 0]]
    generator = torch.Generator().manual_seed(2)
    masked = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 0.0)
    return {
        "speech": masked + 0.05 * torch.randn(masked.shape, generator=generator),
        "speech_lengths": lengths,
        "speech_ref1": masked,
        "text_spk1": torch.tensor([[3, 2, 3], [2, 3, -1], [2, -1, -1]]),
        "text_spk1_lengths": torch.tensor([3, 2, 1]),
    }


@pytest.mark.parametrize("criterion", ["si_snr", "ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"])
def test_a_step_of_every_objective(build, data, criterion):
    model = build(criterion=criterion).train()
    loss, stats, weight = model(**data)
    loss.backward()
    name = "si_snr_loss" if criterion == "si_snr" else criterion
    assert {name, "loss", "loss_enh", "loss_asr", "loss_ctc"} <= set(stats)
    assert weight.item() == 3
    torch.testing.assert_close(loss.squeeze(), (stats["loss_enh"] + stats["loss_asr"]).squeeze())
    for part in (model.enh_model.separator, model.s2t_model.encoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_weights_scale_the_parts(build, data):
    model = build(enh_weight=2.0, asr_weight=0.5).eval()
    _, stats, _ = model(**data)
    torch.testing.assert_close(stats["loss"], 2.0 * stats["loss_enh"] + 0.5 * stats["loss_asr"])
    assert stats["wer_ctc"] >= 0


def test_objective_alone_leaves_the_recogniser_out_of_training(build, data):
    model = build(asr_weight=0.0).train()
    loss, stats, _ = model(**data)
    loss.backward()
    assert "loss_asr" not in stats
    assert all(p.grad is None for p in model.s2t_model.parameters())
    _, stats, _ = model.eval()(**data)
    torch.testing.assert_close(stats["loss"], stats["loss_enh"])
    assert "loss_asr" in stats
    assert "wer_ctc" in stats


def test_recognition_loss_alone_leaves_the_criteria_out(build, data):
    _, stats, _ = build(enh_weight=0.0).train()(**data)
    assert "loss_enh" not in stats
    torch.testing.assert_close(stats["loss"], stats["loss_asr"])


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (0.0, 0.0)])
def test_weights_that_make_no_sense(build, weights):
    with pytest.raises(ValueError, match=r"enh_weight .* asr_weight"):
        build(enh_weight=weights[0], asr_weight=weights[1])


@pytest.mark.parametrize("criterion", ["si_snr", "ssl_mse"])
def test_what_stands_behind_the_references_end_does_not_matter(build, data, criterion):
    model = build(criterion=criterion).eval()
    _, stats, _ = model(**data)
    poisoned = data["speech_ref1"].clone()
    poisoned[2, 9000:] = 7.0
    _, other, _ = model(**{**data, "speech_ref1": poisoned})
    torch.testing.assert_close(stats["loss_enh"], other["loss_enh"])


def test_the_checkpoint_holds_nothing_of_the_upstream(build):
    names = set(build().state_dict())
    assert names
    assert all(name.startswith(("enh_model.", "s2t_model.")) for name in names)
    assert not any("upstream" in name or "transformer" in name for name in names)


def test_two_speakers(build, data):
    model = build(num_spk=2).train()
    text, lengths = data["text_spk1"], data["text_spk1_lengths"]
    loss, stats, _ = model(**data, speech_ref2=data["speech"], text_spk2=text, text_spk2_lengths=lengths)
    loss.backward()
    assert {"ssl_mse", "si_snr_loss", "loss_ctc"} <= set(stats)


@pytest.mark.parametrize(("criterion", "expected"), [("ssl_mse", 2), ("ssl_soft_dtw", 2), ("si_snr", 1)])
def test_the_upstream_runs_once_over_the_enhanced_signal(build, data, monkeypatch, criterion, expected):
    """One pass over the enhanced signal serves objective and recogniser; one goes over the reference."""
    model = build(criterion=criterion).train()
    made = []
    original = passes.HiddenStates
    monkeypatch.setattr(passes, "HiddenStates", lambda *args, **kwargs: made.append(1) or original(*args, **kwargs))
    model(**data)
    assert len(made) == expected
