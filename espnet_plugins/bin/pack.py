"""Pack a trained model, with a model card, as one file that is passed on.

    python -m espnet_plugins.bin.pack MODEL --out model.zip --title "..." --source "CORPUS: LICENSE" --license cc-by-4.0

The file is one of espnet2.bin.pack: Enhancer.from_pretrained and Recognizer.from_pretrained read it, and ESPnet's own
from_pretrained where ESPnet has classes for all of the model. The card, README.md inside, says what the options say;
what is not said is not guessed. --upload_repo OWNER/NAME puts it on the Hugging Face hub as well, where a new
repository is seen by its owner alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import espnet_plugins.bin.quiet  # noqa: F401  (before what warns is imported)
from espnet_plugins.inference.command_line import add_rate, check_out, model_parser
from espnet_plugins.packing import Card, Source, UploadError, check_repository, pack_model, upload_packed


def _source(text: str) -> Source:
    name, colon, license = text.rpartition(":")
    if not colon or not name.strip() or not license.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME: LICENSE")
    return Source(name.strip(), license.strip())


def main(cmd: list[str] | None = None) -> None:
    """Pack with the arguments of the command line, or with `cmd`."""
    parser = model_parser("espnet_plugins.bin.pack", __doc__, out="FILE.zip", packed=False)
    parser.add_argument("--front_end", action="store_true", help="of a joint model, the front-end alone")
    parser.add_argument("--title", required=True, help="heading of the card")
    parser.add_argument("--description", default="", help="a paragraph of the card")
    parser.add_argument("--license", help="of the weights, as hubs write it: cc-by-4.0")
    parser.add_argument(
        "--source", type=_source, action="append", default=[], metavar="NAME: LICENSE", help="what it was made of"
    )
    parser.add_argument("--results", type=Path, metavar="FILE.md", help="tables for the card")
    parser.add_argument("--command", action="append", default=[], help="a command line that made it")
    parser.add_argument("--cite", action="append", default=[], help="a work to cite")
    add_rate(parser)
    parser.add_argument("--upload_repo", metavar="OWNER/NAME", help="upload to this repository, too")
    args = parser.parse_args(cmd)
    try:
        check_out(args.out, folder=False)
        if args.upload_repo:
            check_repository(args.upload_repo)
        card = Card(
            args.title,
            description=args.description,
            license=args.license,
            sources=args.source,
            commands=args.command,
            results=args.results.read_text(encoding="utf-8") if args.results else "",
            sample_rate=args.rate,
            cite=args.cite,
        )
        packed = pack_model(
            args.model,
            args.out,
            card=card,
            front_end=args.front_end,
            config=args.config,
            moved=dict(args.moved),
        )
        print(f"written: {packed.path}")
        for note in packed.notes:
            print(f"note: {note}")
        if args.upload_repo:
            print(f"uploaded: {upload_packed(packed.path, args.upload_repo)}")
    except (ValueError, OSError, UploadError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
