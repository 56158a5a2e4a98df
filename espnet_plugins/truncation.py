"""Audio files that were cut off, which libsndfile reads up to where they end as if that were all."""

from __future__ import annotations

import re
from pathlib import Path

import soundfile

# libsndfile's log, a line for each header whose length is not that of the file.
_TOLD = re.compile(
    r"^\s*(?:data|SSND|BODY|Data Size|Data length|Riff size|riff)\s*:?\s*(\d+)\s+\(?should be (\d+)", re.M
)
# A program that writes into a pipe cannot know the length; it writes the greatest there is, or nearly so.
_UNKNOWN = 2**31 - 2**16
_NIST_HEADER = 1024
_ID3_HEADER = 10
_MP3_FIRST = 512  # the name stands at most 36 bytes behind the start of the first frame
_OGG_PAGE = 27
_OGG_LONGEST = 65307
_OGG_LAST = 4


def missing_part(path: Path, file: soundfile.SoundFile, *, samples: int) -> str | None:
    """Say what of a file is missing, as far as its format tells.

    WAV, AIFF, AU, SVX, RF64, W64 and WVE say their length in bytes, MP3 and NIST in samples, Ogg marks its last page;
    what CAF, FLAC, HTK and SDS lack makes reading them fail. The other formats do not tell. An MP3 without a Xing or
    Info header has no length: libsndfile guesses one, and of a variable bitrate may read half without a word.

    Args:
        path: The file.
        file: The same, open; libsndfile has read its header.
        samples: How many could be read.

    Returns:
        What is missing; None where nothing is.
    """
    for found in _TOLD.finditer(file.extra_info):
        promised, there = int(found[1]), int(found[2])
        if there < promised < _UNKNOWN:
            return f"{there} of {promised} bytes are there"
    if file.format == "MP3" and not _has_length(path):
        return "it has no Xing or Info header, so that nothing says its length"
    promised = _nist_samples(path) if file.format == "NIST" else file.frames
    if samples < promised:
        return f"{samples} of {promised} samples are there"
    if file.format == "OGG" and not _ends_with_last_page(path):
        return "its last page is missing"
    return None


def _nist_samples(path: Path) -> int:
    with path.open("rb") as stream:
        found = re.search(rb"^sample_count -i (\d+)", stream.read(_NIST_HEADER), re.M)
    return int(found[1]) if found else 0


def _has_length(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(_ID3_HEADER)
        size = 0
        if start.startswith(b"ID3"):
            for byte in start[6:]:
                size = size << 7 | byte & 127
            size += _ID3_HEADER
        stream.seek(size)
        return re.search(rb"Xing|Info", stream.read(_MP3_FIRST)) is not None


def _ends_with_last_page(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - _OGG_LONGEST, 0))
        content = stream.read()
    start = content.rfind(b"OggS")
    if start < 0 or len(content) < start + _OGG_PAGE:
        return False
    segments = content[start + _OGG_PAGE - 1]
    sizes = content[start + _OGG_PAGE : start + _OGG_PAGE + segments]
    end = start + _OGG_PAGE + segments + sum(sizes)
    return len(sizes) == segments and end <= len(content) and bool(content[start + 5] & _OGG_LAST)
