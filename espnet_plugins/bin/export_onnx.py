"""Write a trained front-end as an ONNX file, which onnxruntime applies without torch.

    python -m espnet_plugins.bin.export_onnx MODEL --out enhancer.onnx
    python -m espnet_plugins.bin.export_onnx MODEL --out stream.onnx --stream

The first takes a waveform (1, samples) of any length and gives (speakers, samples). The second, of causal front-ends,
takes a block of samples and the state before it, and gives the enhanced samples that are certain and the state behind
it; examples/onnx_enhancer.py feeds both. The file's metadata name rate, hop, delay and states. Demucs, GTCRN and
Conv-TasNet have graphs; the written one is compared with torch before it is put in place.
"""

from __future__ import annotations

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.inference.command_line import add_rate, check_out, find_model, model_parser
from espnet_plugins.onnx_export import MissingPackage, export_onnx


def main(cmd: list[str] | None = None) -> None:
    """Export with the arguments of the command line, or with `cmd`."""
    parser = model_parser("espnet_plugins.bin.export_onnx", __doc__, out="FILE.onnx")
    parser.add_argument("--stream", action="store_true", help="one step of a stream, instead of a whole utterance")
    add_rate(parser)
    args = parser.parse_args(cmd)
    try:
        check_out(args.out, folder=False)
        model, files = find_model(args)
        written = export_onnx(model, args.out, stream=args.stream, rate=args.rate, **files)
    except (ValueError, OSError, MissingPackage) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(f"written: {written.path} (differs from torch by up to {written.difference:.1g} of the largest value)")
    for name, value in written.facts.items():
        if name != "states":
            print(f"{name}: {'the whole utterance' if name == 'delay' and value is None else value}")


if __name__ == "__main__":
    main()
