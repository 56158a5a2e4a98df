"""Trained models applied: audio of any format, rate, channel count and length in, enhanced audio or text out."""

from espnet_plugins.inference.enhancer import Enhancer
from espnet_plugins.inference.recognizer import Recognizer

__all__ = ["Enhancer", "Recognizer"]
