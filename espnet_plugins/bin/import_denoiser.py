"""Turn published weights of the `denoiser` package into a checkpoint folder of ESPnet.

    python -m espnet_plugins.bin.import_denoiser FILE --out DIR

FILE is dns48, dns64, master64 or valentini_nc as published (recognised by its checksum, read without running code);
nothing is downloaded. DIR gets config.yaml, model.pth and LICENCE, for enhance, enh_inference and, through
--init_param DIR/model.pth::enh_model, joint training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from espnet_plugins.inference.denoiser import LICENCE, PUBLISHED, import_denoiser


def main(cmd: list[str] | None = None) -> None:
    """Import with the arguments of the command line, or with `cmd`."""
    parser = argparse.ArgumentParser(
        prog="python -m espnet_plugins.bin.import_denoiser",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="state dict of the denoiser package")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the result goes")
    parser.add_argument(
        "--layout",
        choices=sorted(PUBLISHED),
        help="for weights of your own: whose layout they have; the checksum is not looked at",
    )
    args = parser.parse_args(cmd)
    try:
        name = import_denoiser(args.file, args.out, layout=args.layout)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(f"{name}: written to {args.out}")
    if args.layout is None:
        print(LICENCE)


if __name__ == "__main__":
    main()
