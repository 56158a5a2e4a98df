"""Importing ESPnet reaches for no network.

ESPnet imports g2p_en, whose import asks NLTK to fetch two data sets where they are not on the disk: two addresses in
every process, minutes behind a firewall that drops packets. Only phonemes by g2p_en need them; without the data, making
such a tokenizer says which to fetch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from espnet_plugins.imports import import_within

_ASKS = "g2p_en.g2p"


@contextlib.contextmanager
def _without_downloads() -> Iterator[None]:
    import nltk

    download, nltk.download = nltk.download, lambda *names, **options: False
    try:
        yield
    finally:
        nltk.download = download


def import_without_network() -> None:
    """See to it that importing ESPnet, from now on, fetches nothing; calling it again changes nothing.

    Example:
        >>> import_without_network()
    """
    import_within([_ASKS], _without_downloads)
