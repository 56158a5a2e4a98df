"""Whisper's encoder as an upstream: weights of OpenAI, of Hugging Face directories and of CTranslate2."""

from espnet_plugins.ssl.whisper.catalogue import MODELS
from espnet_plugins.ssl.whisper.describe import describe_whisper, looks_like_whisper

__all__ = ["MODELS", "describe_whisper", "looks_like_whisper"]
