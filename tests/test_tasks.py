"""The joint model on real ESPnet modules: weights, lengths, one shared upstream pass, what moves."""

import pytest
import torch
from joint_configuration import build_settings, joint_batch, joint_settings, save_experiment

import espnet_plugins.ssl.passes as passes
from espnet_plugins.ssl import save_upstream
from espnet_plugins.tasks import JointTask


@pytest.fixture
def upstream(make_upstream):
    return {"model": "local", "checkpoint": str(make_upstream())}


@pytest.fixture
def build(upstream, tmp_path):
    return lambda **options: build_settings(joint_settings(upstream, **options), tmp_path)


@pytest.fixture
def data(batch):
    return joint_batch(*batch)


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


@pytest.mark.parametrize("frontend", ["frozen_ssl", "default"])
@pytest.mark.parametrize("criterion", ["si_snr", "ssl_mse"])
def test_a_padded_batch_is_the_mean_of_its_utterances(build, data, criterion, frontend):
    """Loss and gradient of the whole joint model, with garbage behind the ends of the padded batch."""
    model = build(criterion=criterion, frontend=frontend).train()

    def step(rows):
        model.zero_grad()
        batch = {name: value[rows] for name, value in data.items()}
        longest = int(batch["speech_lengths"].max())
        words = int(batch["text_spk1_lengths"].max())
        for name in ("speech", "speech_ref1"):
            behind = torch.arange(longest) >= batch["speech_lengths"][:, None]
            batch[name] = batch[name][:, :longest].masked_fill(behind, torch.nan)
        batch["text_spk1"] = batch["text_spk1"][:, :words]
        loss, *_ = model(**batch)
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    together = step(slice(0, 3))
    losses, gradients = zip(*(step(slice(row, row + 1)) for row in range(3)), strict=True)
    gradient = torch.stack(gradients).mean(0)
    torch.testing.assert_close(together[0], torch.stack(losses).mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together[1], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))


def test_without_weights_both_parts_count_once(upstream, tmp_path):
    model = build_settings(
        {**joint_settings(upstream), "model_conf": {"calc_enh_loss": True, "bypass_enh_prob": 0}}, tmp_path
    )
    assert (model.enh_weight, model.asr_weight) == (1.0, 1.0)


def test_weights_scale_the_parts(build, data):
    model = build(enh_weight=2.0, asr_weight=0.5).eval()
    _, stats, _ = model(**data)
    torch.testing.assert_close(stats["loss"], 2.0 * stats["loss_enh"] + 0.5 * stats["loss_asr"])
    assert stats["wer_ctc"] >= 0


def test_objective_alone_leaves_the_recognizer_out_of_training(build, data):
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


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"enh_weight": -1.0}, "model_conf: enh_weight: -1.0 is not accepted; give a number from 0"),
        ({"enh_weight": 0.0, "asr_weight": 0.0}, "enh_weight and asr_weight are both 0"),
        ({"asr_wieght": 1.0}, "model_conf: unknown key asr_wieght; accepted keys are asr_weight, enh_weight"),
    ],
)
def test_weights_that_make_no_sense(build, weights, message):
    with pytest.raises(ValueError, match=message):
        build(**weights)


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


@pytest.fixture
def made(monkeypatch):
    """Batch size of each upstream pass."""
    sizes = []
    original = passes.HiddenStates

    def watch(backbone, waveform, samples, **options):
        sizes.append(len(samples))
        return original(backbone, waveform, samples, **options)

    monkeypatch.setattr(passes, "HiddenStates", watch)
    return sizes


@pytest.mark.parametrize(("criterion", "expected"), [("ssl_mse", 2), ("ssl_soft_dtw", 2), ("si_snr", 1)])
def test_the_upstream_runs_once_over_the_enhanced_signal(build, data, made, criterion, expected):
    """One pass over the enhanced signal serves objective and recognizer; one goes over the reference."""
    build(criterion=criterion).train()(**data)
    assert made == [3] * expected


def two_speakers(data):
    other = {"speech_ref2": data["speech_ref1"].flip(0), "text_spk2": data["text_spk1"].flip(0)}
    mask = torch.arange(16000) < data["speech_lengths"][:, None]
    other["speech_ref2"] = torch.where(mask, data["speech_ref1"].roll(99, 1), 0.0)
    other["text_spk2_lengths"] = data["text_spk1_lengths"].flip(0)
    return {**data, **other}


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_one_batched_pass_serves_all_speakers_and_the_recognizer(build, data, made, mode):
    model = getattr(build(num_spk=2, criterion="ssl_soft_dtw"), mode)()
    model(**two_speakers(data))
    assert made == [6, 6]  # the estimates of both speakers, the references of both


def test_the_recognizer_gets_each_speaker_with_its_own_text(build, data, monkeypatch):
    model = build(num_spk=2).train()
    batch = two_speakers(data)
    swapped = [batch["speech_ref2"], batch["speech_ref1"]]

    def perfect_but_swapped(*args, **kwargs):
        estimates, *rest = type(model.enh_model).forward_enhance(model.enh_model, *args, **kwargs)
        return [e * 0 + s for e, s in zip(estimates, swapped, strict=True)], *rest

    heard = []
    monkeypatch.setattr(model.enh_model, "forward_enhance", perfect_but_swapped)
    monkeypatch.setattr(
        model.s2t_model, "forward", lambda *args: heard.append(args) or (torch.zeros(1), {"loss": torch.zeros(())}, 6)
    )
    _, stats, _ = model(**batch)
    (speech, _, text, _) = heard[0]
    torch.testing.assert_close(speech, torch.cat([batch["speech_ref1"], batch["speech_ref2"]]))
    assert torch.equal(text, torch.cat([batch["text_spk1"], batch["text_spk2"]]))
    assert stats["ssl_mse"] < 1e-6


def test_recognition_loss_alone_with_two_speakers(build, data):
    model = build(num_spk=2, enh_weight=0.0).train()
    loss, stats, _ = model(**two_speakers(data))
    loss.backward()
    assert "ssl_mse" not in stats
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.enh_model.separator.parameters())


def test_variance_is_normalized_over_each_utterances_own_samples(upstream, data, tmp_path):
    """In training and in decoding, the front-end hears unit variance, and what comes out has the input's scale."""
    settings = joint_settings(upstream, criterion="si_snr")
    plain = build_settings(settings, tmp_path).eval()
    model = build_settings({**settings, "enh_model_conf": {"normalize_variance": True}}, tmp_path).eval()
    speech, lengths = data["speech"], data["speech_lengths"]
    scale = torch.stack([row[:n].std() for row, n in zip(speech, lengths, strict=True)])[:, None]
    (found,), *_ = model.enh_model.forward_enhance(speech, lengths)
    (expected,), *_ = plain.enh_model.forward_enhance(speech / scale, lengths)
    torch.testing.assert_close(found, expected * scale)
    heard = []
    model.enh_model.encoder.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    model(**{**data, "speech": 100 * speech})
    model.encode(100 * speech, lengths)
    assert len(heard) >= 2
    for waveform in (heard[0], heard[-1]):
        deviations = [float(row[:n].std()) for row, n in zip(waveform, lengths, strict=True)]
        assert deviations == pytest.approx([1.0] * 3, rel=1e-4)


def test_silence_does_not_break_variance_normalization(upstream, data, tmp_path):
    settings = {**joint_settings(upstream), "enh_model_conf": {"normalize_variance": True}}
    model = build_settings(settings, tmp_path).eval()
    (estimate,), *_ = model.enh_model.forward_enhance(torch.zeros(2, 4000), torch.tensor([4000, 3000]))
    assert not estimate.isnan().any()


@pytest.mark.parametrize("criterion", ["ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"])
def test_bfloat16_autocast_is_close_to_float32(build, data, criterion):
    """docs/objectives.md: loss to 2 %, direction of the front-end's gradient to a cosine of 0.97."""

    def step(autocast):
        model = build(criterion=criterion).train()
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss, *_ = model(**data)
        assert loss.dtype == torch.float32
        loss.backward()
        return loss.detach(), torch.cat([p.grad.flatten() for p in model.enh_model.parameters() if p.grad is not None])

    (loss, gradient), (half_loss, half_gradient) = step(False), step(True)
    torch.testing.assert_close(half_loss, loss, rtol=0.02, atol=0)
    assert torch.cosine_similarity(gradient, half_gradient, dim=0) > 0.97


@pytest.mark.parametrize("criterion", ["ssl_mse", "si_snr"])
def test_accumulated_gradients_are_those_of_the_joint_batch(build, data, criterion):
    """docs/objectives.md: 1e-4 relative."""
    rows = {name: torch.cat([value, value.flip(0)[:1]]) for name, value in data.items()}

    def gradients(parts):
        model = build(criterion=criterion).train()
        for part in parts:
            loss, *_ = model(**{name: value[part] for name, value in rows.items()})
            (loss / len(parts)).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, halves = gradients([slice(0, 4)]), gradients([slice(0, 2), slice(2, 4)])
    torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_the_objectives_upstream_is_loaded_in_training_alone(build, data, make_upstream):
    """Jobs that decode, enhance or collect statistics build the criteria, but never call them."""
    own = {"model": "local", "checkpoint": str(make_upstream(encoder_num_layers=1))}
    model = build(criterion="ssl_mse", criterion_conf={"upstream": own})
    backbone = model.enh_model.loss_wrappers[0].criterion.upstream.backbone
    model.collect_feats(**data)
    with torch.no_grad():
        model.eval().encode(data["speech"][:1], data["speech_lengths"][:1])
    assert not backbone.loaded
    model.train()(**data)
    assert backbone.loaded


WRONG = [
    ({"criterion_conf": {"gama": 1}}, r"ssl_soft_dtw: unknown key gama; accepted keys are .*gamma"),
    ({"criterion_conf": {"gamma": 0}}, r"ssl_soft_dtw: gamma: 0 is not accepted; give a number above 0"),
    ({"criterion_conf": {"layer": 9}}, r"ssl_soft_dtw: layer: .*9 is out of range, accepted are 0\.\.3"),
    ({"criterion_conf": {"upstream": {"model": "local", "checkpoint": "gone.pt"}}}, r"gone\.pt: .* `checkpoint`"),
    ({"criterion_conf": {"upstream": {"model": "hubert"}}}, r"model 'hubert': accepted are hubert_base"),
    ({"frontend_conf": {"layer": 9}}, r"frozen_ssl: layer must be 'weighted_sum' or 0 to 3"),
    ({"frontend_conf": {"layr": 1}}, r"frozen_ssl: frontend_conf: unknown key layr; accepted keys are fs, layer"),
    ({"frontend_conf": {"fs": 8000}}, r"frozen_ssl: fs is 8000, but the upstream takes 16000 Hz"),
    ({"wrapper_conf": {"wieght": 1}}, r"inherit_permutation: wrapper_conf: unknown key wieght; .* weight"),
    ({"wrapper_conf": {"weight": -1}}, r"wrapper_conf: weight: -1 is not accepted; give a number from 0"),
    ({"entry": {"nmae": "x"}}, r"enh_criterions: entry: unknown key nmae; accepted keys are conf, name, wrapper"),
    ({"entry": {"name": "ssl_mes"}}, r"enh_criterions: name: 'ssl_mes' .* ssl_mse, ssl_mse_pad, ssl_soft_dtw"),
    ({"entry": {"wrapper": "inherit"}}, r"ssl_soft_dtw: wrapper: 'inherit' .* fixed_order, inherit_permutation"),
    ({"entry": {"name": "si_snr"}}, r"si_snr: conf: unknown key upstream; accepted keys are clamp_db, eps"),
    (
        {"top": {"enh_model_conf": {"ignore_pading": True}}},
        r"enh_model_conf: unknown key ignore_pading; .* ignore_padding",
    ),
    ({"top": {"enh_model_conf": {"ignore_padding": 1}}}, r"ignore_padding: 1 is not accepted; give one of True, False"),
    (
        {"top": {"enh_encoder_conf": {"chanel": 1}}},
        r"conv: enh_encoder_conf: unknown key chanel; .* channel, kernel_size",
    ),
    ({"top": {"enh_separator_conf": {"nrom": 1}}}, r"tcn: enh_separator_conf: unknown key nrom; .* norm_type"),
    ({"top": {"asr_encoder_conf": {"layers": 1}}}, r"transformer: asr_encoder_conf: unknown key layers; .* num_blocks"),
    ({"top": {"asr_model_conf": {"ctc": 1}}}, r"asr_model_conf: unknown key ctc; accepted keys are .*ctc_weight"),
    ({"top": {"model_conf": {"enh_wieght": 1}}}, r"model_conf: unknown key enh_wieght; .* asr_weight, enh_weight"),
]


def wrong_settings(upstream, change):
    settings = joint_settings(upstream, criterion="ssl_soft_dtw")
    (entry,) = settings["enh_criterions"]
    for part in ("frontend_conf",):
        settings[part] = {**settings[part], **change.get(part, {})}
    entry["conf"] = {**entry["conf"], **change.get("criterion_conf", {})}
    entry["wrapper_conf"] = change.get("wrapper_conf", entry["wrapper_conf"])
    entry.update(change.get("entry", {}))
    return {**settings, **change.get("top", {})}


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_yaml_names_the_key_and_what_is_accepted(upstream, tmp_path, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build_settings(wrong_settings(upstream, change), tmp_path)


def test_an_upstream_of_another_rate(upstream, tmp_path):
    content = torch.load(upstream["checkpoint"], weights_only=True)
    narrow = tmp_path / "narrow.pt"
    save_upstream(narrow, architecture=content["architecture"], state_dict=content["state_dict"], sample_rate=8000)
    change = {"criterion_conf": {"upstream": {"model": "local", "checkpoint": str(narrow)}}}
    with pytest.raises(ValueError, match=r"ssl_soft_dtw: upstream: .* takes 8000 Hz, but sample_rate is 16000"):
        build_settings(wrong_settings(upstream, change), tmp_path)


def test_an_unknown_key_of_the_yaml_itself(upstream, tmp_path, capsys):
    with pytest.raises(SystemExit):
        build_settings({**joint_settings(upstream), "max_epohc": 3}, tmp_path)
    assert "max_epohc" in capsys.readouterr().err


def test_weights_that_are_missing_or_of_another_shape_are_named(upstream, tmp_path):
    model = save_experiment(joint_settings(upstream), tmp_path / "exp")
    weights = model.state_dict()
    path = tmp_path / "exp" / "model.pth"
    loaded, _ = JointTask.build_model_from_file(None, path)
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())
    name, value = next(iter(weights.items()))
    torch.save({key: other for key, other in weights.items() if key != name}, path)
    with pytest.raises(ValueError, match=rf"model\.pth does not fit its config\.yaml: missing .*{name}"):
        JointTask.build_model_from_file(None, path)
    torch.save({**weights, name: value[:1]}, path)
    with pytest.raises(ValueError, match=rf"misshapen {name}"):
        JointTask.build_model_from_file(None, path)
    torch.save({"weight": print}, path)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        JointTask.build_model_from_file(None, path)


def test_the_command_line_of_a_program_does_not_reach_a_default_configuration(monkeypatch):
    from espnet_plugins.tasks import EnhTask, default_config

    plain = default_config(EnhTask)
    monkeypatch.setattr("sys.argv", ["program", "--seed", "7", "--noise=folder", "--max_epoch", "3"])
    assert default_config(EnhTask) == plain
