"""Models passed on: one file with a card that says what the model is, for this package and for stock ESPnet."""

from espnet_plugins.packing.card import Card, Source, render_card
from espnet_plugins.packing.pack import Packed, pack_model
from espnet_plugins.packing.upload import UploadError, check_repository, packed_files, upload_packed

__all__ = [
    "Card",
    "Packed",
    "Source",
    "UploadError",
    "check_repository",
    "pack_model",
    "packed_files",
    "render_card",
    "upload_packed",
]
