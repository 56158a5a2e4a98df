"""Real ESPnet trainings of a second or two, in processes of their own; each update's loss is written down.

The processes come from a server that has ESPnet imported, so that a start takes no time.
"""

import multiprocessing
import os
import sys
import traceback
from collections import defaultdict
from functools import cache
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import soundfile
import yaml

SAMPLE_RATE = 16000
# Seconds after which a training counts as hung, on a machine with other work to do, too.
LIMIT = 600
TOKENS = ["<blank>", "<unk>", "▁one", "▁two", "<sos/eos>"]
SE = {
    "encoder": "conv",
    "encoder_conf": {"channel": 8, "kernel_size": 32, "stride": 16},
    "separator": "tcn",
    "separator_conf": {
        "num_spk": 1,
        "layer": 2,
        "stack": 1,
        "bottleneck_dim": 8,
        "hidden_dim": 8,
        "nonlinear": "relu",
    },
    "decoder": "conv",
    "decoder_conf": {"channel": 8, "kernel_size": 32, "stride": 16},
}
CRITERION = {"name": "si_snr", "conf": {}, "wrapper": "fixed_order", "wrapper_conf": {"weight": 1.0}}
COMMON = {
    "optim": "adam",
    "optim_conf": {"lr": 0.01},
    "scheduler": "warmuplr",
    "scheduler_conf": {"warmup_steps": 5},
    "grad_clip": 5.0,
    "max_epoch": 3,
    "num_workers": 0,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
    "best_model_criterion": [["valid", "loss", "min"]],
    "keep_nbest_models": 1,
    "seed": 3,
}
_context = multiprocessing.get_context("forkserver")


def write_data(folder: Path, *, utterances: int = 24, seconds: float | None = None, speakers: int = 1) -> None:
    """A data directory of noise, with texts: 0.3 to 0.6 s or all of `seconds`; mixtures of several speakers."""
    generator = np.random.default_rng(0)
    tables: dict[str, list[str]] = defaultdict(list)
    for k in range(utterances):
        samples = int(SAMPLE_RATE * (seconds or generator.uniform(0.3, 0.6)))
        signals = {f"spk{n + 1}": 0.1 * generator.standard_normal(samples) for n in range(speakers)}
        signals["wav"] = sum(signals.values()) + 0.05 * generator.standard_normal(samples)
        for name, signal in signals.items():
            path = folder / name / f"utt{k:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, signal, SAMPLE_RATE)
            tables[f"{name}.scp"].append(f"utt{k:02d} {path}")
        for n in range(speakers):
            tables[f"text_spk{n + 1}"].append(f"utt{k:02d} {' '.join(generator.choice(['one', 'two'], 2))}")
        tables["utt2num_samples"].append(f"utt{k:02d} {samples}")
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def joint(upstream: Path) -> dict:
    """The joint model with dropout and an objective that draws perturbations; batches of several lengths."""
    shared = {"upstream": {"model": "local", "checkpoint": str(upstream)}}
    criterion = {
        "name": "ssl_mse_pad",
        "conf": {**shared},
        "wrapper": "inherit_permutation",
        "wrapper_conf": {"weight": 1.0},
    }
    return {
        **COMMON,
        **{f"enh_{key}": value for key, value in SE.items()},
        "subtask_series": ["enh", "asr"],
        "enh_criterions": [criterion],
        "frontend": "frozen_ssl",
        "frontend_conf": shared,
        "specaug": None,
        "normalize": "utterance_mvn",
        "asr_encoder": "rnn",
        "asr_encoder_conf": {"num_layers": 1, "hidden_size": 8, "output_size": 8, "dropout": 0.2},
        "asr_decoder": None,
        "asr_model_conf": {"ctc_weight": 1.0},
        "model_conf": {"enh_weight": 1.0, "asr_weight": 1.0},
        "token_list": TOKENS,
        "token_type": "word",
        "use_preprocessor": True,
        "batch_type": "numel",
        "batch_bins": 24000,
        "num_iters_per_epoch": 6,
    }


def enhancement() -> dict:
    """The front-end on chunks that are cut across utterances."""
    chunks = {"iterator_type": "chunk", "chunk_length": 3200, "batch_size": 4, "num_cache_chunks": 16}
    return {**COMMON, **SE, **chunks, "criterions": [CRITERION], "num_iters_per_epoch": 12}


def command(config: dict, data: Path, out: Path) -> list[str]:
    """The arguments of a training on `data` for training and development."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "train.yaml").write_text(yaml.safe_dump(config))
    is_joint, is_head = "enh_separator" in config, "separator" not in config and "enh_separator" not in config
    separator = config.get("enh_separator_conf" if is_joint else "separator_conf", {})
    speakers = range(1, 1 + separator.get("num_spk", 1))
    named = {"speech" if is_joint else "speech_mix": "wav.scp,{},sound"}
    named |= {f"speech_ref{n}": f"spk{n}.scp,{{}},sound" for n in speakers}
    arguments = ["--config", str(out / "train.yaml"), "--output_dir", str(out), "--ngpu", "0", "--resume", "true"]
    if is_joint:
        named |= {f"text_spk{n}": f"text_spk{n},{{}},text" for n in speakers}
        arguments += ["--text_name", *(f"text_spk{n}" for n in speakers)]
    if is_head:
        named = {"speech": "spk1.scp,{},sound", "text": "text_spk1,{},text"}
    for part in ("train", "valid"):
        for name, pattern in named.items():
            arguments += [f"--{part}_data_path_and_name_and_type", f"{data}/{pattern.format(name)}"]
        for _ in range(1 if is_joint or is_head else 2):
            arguments += [f"--{part}_shape_file", str(data / "utt2num_samples")]
    return arguments


def _train(arguments: list[str], losses: str, log: str) -> None:
    import torch

    from espnet_plugins import tasks
    from espnet_plugins.train.trainer import ResumableTrainer

    with open(log, "a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    torch.set_num_threads(1)
    base = tasks.JointTask if "--text_name" in arguments else tasks.EnhTask
    if any(argument.endswith(",text,text") for argument in arguments):
        base = tasks.RecognitionTask

    class Recorded(base):
        @classmethod
        def build_model(cls, args):
            model = super().build_model(args)
            model.register_forward_hook(record)
            return model

    def record(model, _, outputs):
        if model.training:
            update = ResumableTrainer._session.train_reporter.get_total_count()
            with open(losses, "a") as stream:
                stream.write(f"{update} {outputs[0].item()!r}\n")

    try:
        Recorded.main(cmd=arguments)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


@cache
def get_ready() -> None:
    """Wait, once, until the server has ESPnet imported: then a process's time is its own."""
    # A process has one server: what the recipe's own tests started in this one knows nothing of ESPnet.
    forkserver._forkserver._stop()
    # torch imports its compiler where the first optimizer is made: as many seconds as the training itself.
    _context.set_forkserver_preload(["espnet_plugins.tasks", "torch._dynamo"])
    process = _context.Process(target=_do_nothing)
    process.start()
    process.join()


def _do_nothing() -> None:
    pass


def start(arguments: list[str], out: Path) -> multiprocessing.Process:
    """Start a training in a process of its own."""
    get_ready()
    process = _context.Process(target=_train, args=(arguments, str(out / "losses.txt"), str(out / "train.log")))
    process.start()
    return process


def losses(out: Path) -> dict[int, set[str]]:
    """The losses that were seen at each update, to the last digit; an update may have run more than once."""
    seen: dict[int, set[str]] = {}
    for line in (out / "losses.txt").read_text().splitlines():
        update, *value = line.split()
        if value:
            seen.setdefault(int(update), set()).add(value[0])
    return seen


def draw(rank: int, port: int, upstream: str, queue) -> None:
    """Put what the objectives draw on one of two gloo ranks, for one seed, on a queue."""
    import torch

    from espnet_plugins.objectives import SSLMSEPad, SSLSoftDTW

    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    options = {"upstream": {"model": "local", "checkpoint": upstream}}
    torch.manual_seed(5)
    reference, samples = torch.zeros(1, 1).expand(8, 64000), [64000] * 8
    steps = [criterion(**options).draw(reference, samples) for criterion in (SSLMSEPad, SSLSoftDTW) for _ in range(2)]
    queue.put((rank, steps))
    torch.distributed.destroy_process_group()
