"""Turn published weights of an enhancement model into a checkpoint folder of ESPnet.

    python -m espnet_plugins.bin.import_enhancer FILE --out DIR

FILE is one of the published models (--help names them), recognized by its checksum and read without running code;
nothing is downloaded. DIR gets config.yaml, model.pth and LICENSE, for enhance, enh_inference and, through
--init_param DIR/model.pth::enh_model, joint training.
"""

from __future__ import annotations

from pathlib import Path

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.inference.command_line import Parser, check_out
from espnet_plugins.inference.published import PUBLISHED, import_enhancer


def main(cmd: list[str] | None = None) -> None:
    """Import with the arguments of the command line, or with `cmd`."""
    models = "\n".join(f"  {name:14}{model.family.license_name:14}{model.address}" for name, model in PUBLISHED.items())
    parser = Parser("espnet_plugins.bin.import_enhancer", __doc__, epilog=f"published models:\n{models}")
    parser.add_argument("file", metavar="FILE", type=Path, help="a state dict, as its authors publish it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the result goes")
    parser.add_argument(
        "--layout",
        choices=sorted(PUBLISHED),
        help="for weights of your own: whose layout they have; the checksum is not looked at",
    )
    args = parser.parse_args(cmd)
    try:
        check_out(args.out)
        name = import_enhancer(args.file, args.out, layout=args.layout)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(f"{name}: written to {args.out}")
    if args.layout is None:
        print(PUBLISHED[name].family.license)


if __name__ == "__main__":
    main()
