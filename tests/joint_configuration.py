"""A joint model of the smallest size, from YAML as a user writes it."""

import argparse

import torch
import yaml

TOKENS = ["<blank>", "<unk>", "\u2581one", "\u2581two", "<sos/eos>"]


def joint_settings(
    upstream, *, criterion="ssl_mse", criterion_conf=None, num_spk=1, frontend="frozen_ssl", **model_conf
):
    """Give the configuration of a joint training; with two speakers, SI-SNR finds the permutation."""
    ours = criterion.startswith("ssl_")
    conf = {"upstream": upstream} if ours else {}
    entry = {
        "name": criterion,
        "conf": {**conf, **(criterion_conf or {})},
        "wrapper": "inherit_permutation" if ours else "fixed_order",
        "wrapper_conf": {"weight": 1.0},
    }
    criteria = [entry]
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
        "frontend": frontend,
        "frontend_conf": {"upstream": upstream} if frontend == "frozen_ssl" else {"n_mels": 16},
        "specaug": None,
        "normalize": "utterance_mvn",
        "asr_encoder": "transformer",
        "asr_encoder_conf": {
            "output_size": 8,
            "attention_heads": 2,
            "linear_units": 8,
            "num_blocks": 1,
            "input_layer": "linear",
            "dropout_rate": 0.0,
            "positional_dropout_rate": 0.0,
        },
        "asr_decoder": None,
        "asr_model_conf": {"ctc_weight": 1.0},
        "model_conf": model_conf,
        "token_list": TOKENS,
        "token_type": "word",
        "use_preprocessor": False,
        "output_dir": "unused",
    }


def parse_settings(settings, folder):
    """Parse a configuration as ESPnet's program does."""
    from espnet_plugins.tasks import JointTask

    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return argparse.Namespace(**vars(JointTask.get_parser().parse_args(["--config", str(path)])))


def build_settings(settings, folder):
    """Build the model of a configuration, the same weights each time."""
    from espnet_plugins.tasks import JointTask

    args = parse_settings(settings, folder)
    torch.manual_seed(0)
    return JointTask.build_model(args)


def save_experiment(settings, folder):
    """Write a training's result, config.yaml and model.pth, and give its model."""
    folder.mkdir(parents=True, exist_ok=True)
    args = parse_settings(settings, folder)
    model = build_settings(settings, folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
    torch.save(model.state_dict(), folder / "model.pth")
    return model.eval()


def joint_batch(waveform, lengths):
    """A batch of a joint training, the longest utterance first, as ESPnet's batches come."""
    waveform, lengths = waveform[[1, 2, 0]], lengths[[1, 2, 0]]
    generator = torch.Generator().manual_seed(2)
    masked = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 0.0)
    return {
        "speech": masked + 0.05 * torch.randn(masked.shape, generator=generator),
        "speech_lengths": lengths,
        "speech_ref1": masked,
        "text_spk1": torch.tensor([[3, 2, 3], [2, 3, -1], [2, -1, -1]]),
        "text_spk1_lengths": torch.tensor([3, 2, 1]),
    }
