#!/usr/bin/env python3
"""What it does to word errors that ESPnet's `s3prl` front-end repeats the last frames of an SSL model.

    benchmarks/repeated_frames.py [--preset mini] [--expdir DIR] [--dumpdir DIR] [--sets NAME ...] [--most N]
                                  [--out FILE]

s3prl gives an utterance of T samples ceil(T / hop length) frames; the model has one or two fewer, and the last one is
repeated. A recognizer of stage 4, which was trained on the model's own frames, decodes each test set twice without a
front-end, utterance by utterance with ESPnet's search and the settings of conf/decode_asr.yaml: with the model's own
frames, and with the last one repeated as s3prl does. Nothing else differs, so that this is what exporting it over
`s3prl` changes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "egs" / "voicebank_librimix"))

import torch
from tqdm import tqdm

from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.scoring.errors import count_errors
from espnet_plugins.atomic import write_text
from espnet_plugins.inference.recognizer import Recognizer
from local.common.kaldi_dir import read_table
from local.common.recipe import load_preset, read_yaml
from local.common.signals import load_audio

RECIPE = Path(__file__).resolve().parents[1] / "egs" / "voicebank_librimix"
HOW = ("own", "repeated")


def repeat_last(frames: torch.Tensor, *, samples: int, hop_length: int) -> torch.Tensor:
    """The frames of one utterance as s3prl gives them.

    Args:
        frames: (1, N, D).
        samples: Of the utterance.
        hop_length: Samples from one frame to the next.

    Returns:
        (1, ceil(samples / hop_length), D): the last frame stands in for those that are missing.

    Example:
        >>> repeat_last(torch.tensor([[[1.0], [2.0]]]), samples=1000, hop_length=320)[0, :, 0].tolist()
        [1.0, 2.0, 2.0, 2.0]

    Source:
        s3prl 0.4.18, nn/upstream.py, S3PRLUpstream.
    """
    missing = -(-samples // hop_length) - frames.shape[1]
    return torch.cat([frames, frames[:, -1:].expand(-1, missing, -1)], dim=1)


@contextmanager
def repeating(frontend: Any, count: list[int]) -> Iterator[None]:
    """Have a front-end repeat its last frames; `count` takes how many it repeats in each utterance."""
    own = frontend.forward

    def forward(waveform: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames, _ = own(waveform, lengths)
        longer = repeat_last(frames, samples=int(lengths[0]), hop_length=frontend.upstream.hop_length)
        count.append(longer.shape[1] - frames.shape[1])
        return longer, torch.tensor([longer.shape[1]])

    frontend.forward = forward
    try:
        yield
    finally:
        del frontend.forward


def measure(recognizer: Recognizer, data: Path, *, most: int | None) -> dict[str, Any]:
    """Errors of one test set both ways, transcripts that differ, and frames that are repeated."""
    texts, places = read_table(data / "text_spk1"), read_table(data / "wav.scp")
    utterances = list(texts)[:most]
    frontend, repeated = recognizer.decode.asr_model.frontend, list[int]()
    errors, changed = dict.fromkeys(HOW, 0), 0
    words = 0
    for utterance in tqdm(utterances, desc=data.name, unit="utt"):
        samples, rate = load_audio(places[utterance])
        found = {"own": recognizer(samples, rate)}
        with repeating(frontend, repeated):
            found["repeated"] = recognizer(samples, rate)
        changed += found["own"] != found["repeated"]
        reference = texts[utterance]
        words += len(reference.split())
        for how in HOW:
            errors[how] += count_errors(reference, str(found[how]))[0].errors
    return {
        "utterances": len(utterances),
        "words": words,
        "errors": errors,
        "changed": changed,
        "repeated": {str(number): repeated.count(number) for number in sorted(set(repeated))},
    }


def to_markdown(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all sets."""
    lines = [
        "| test set | WER, own frames | WER, last frames repeated | other transcripts | frames repeated |",
        "|---|---|---|---|---|",
    ]
    for name, found in sets.items():
        own, repeated = (100 * found["errors"][how] / found["words"] for how in HOW)
        frames = ", ".join(f"{number}: {count} utt." for number, count in found["repeated"].items())
        changed = f"{found['changed']} of {found['utterances']}"
        lines.append(f"| {name} | {own:.2f} | {repeated:.2f} | {changed} | {frames} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = " (default: %(default)s)"
    parser.add_argument("--preset", default="mini", help="what the recognizer was trained on" + default)
    parser.add_argument("--expdir", type=Path, help="its experiment (default: exp/PRESET of the recipe)")
    parser.add_argument("--dumpdir", type=Path, help="its archives (default: dump/PRESET of the recipe)")
    parser.add_argument("--sets", nargs="+", help="test sets (default: the preset's)")
    parser.add_argument("--most", type=int, help="utterances of each set (default: all)")
    parser.add_argument("--out", type=Path, help="a JSON file for what was found (default: print only)")
    args = parser.parse_args()
    preset = load_preset(args.preset)
    experiment = args.expdir or RECIPE / "exp" / args.preset
    dump = args.dumpdir or RECIPE / "dump" / args.preset
    if not (experiment / "asr" / "model.pth").is_file():
        parser.error(f"{experiment}/asr/model.pth: no such file; run.sh --preset {args.preset} --stop_stage 4 makes it")
    decoding = read_yaml(RECIPE / "conf" / "decode_asr.yaml") | preset.get("config", {}).get("decode_asr", {})
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)
    options = {name: decoding[name] for name in ("beam_size", "ctc_weight")}
    recognizer = Recognizer.from_checkpoint(experiment / "asr", **options)
    sets = {}
    for name in args.sets or preset["test"]:
        sets[name] = measure(recognizer, dump / name, most=args.most)
    environment = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    print("\n".join([to_markdown(sets), "", *(f"{what}: {value}" for what, value in environment.items())]))
    if args.out:
        write_text(args.out, json.dumps({"sets": sets, "environment": environment}, indent=1) + "\n")


if __name__ == "__main__":
    main()
