"""Write a trained model so that stock ESPnet decodes it, without this package.

    python -m espnet_plugins.bin.export MODEL --out DIR

DIR/enh holds the front-end of an enhancement or joint model, for `python -m espnet2.bin.enh_inference --train_config
DIR/enh/config.yaml --model_file DIR/enh/model.pth`; DIR/joint a joint model, DIR/asr a recognizer, for
espnet2.bin.asr_inference. A recognizer over `frozen_ssl` with a Hugging Face upstream goes through ESPnet's
`huggingface` (the last layer, from ESPnet 202611 on; exact) or `s3prl` (needs espnet-s3prl), its upstream copied beside
it. What stock ESPnet has no classes for is named and left out.
"""

from __future__ import annotations

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.inference.command_line import check_out, model_parser
from espnet_plugins.inference.export import export_model


def main(cmd: list[str] | None = None) -> None:
    """Export with the arguments of the command line, or with `cmd`."""
    parser = model_parser("espnet_plugins.bin.export", __doc__, out="DIR", packed=False)
    args = parser.parse_args(cmd)
    try:
        check_out(args.out)
        exported = export_model(args.model, args.out, config=args.config, moved=dict(args.moved))
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    for folder in exported.folders:
        print(f"written: {folder}")
    for note in exported.notes:
        print(f"note: {note}")
    for reason in exported.left_out:
        print(f"left out: {reason}")


if __name__ == "__main__":
    main()
