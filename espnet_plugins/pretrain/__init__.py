"""What ESPnet's pre-training of SSL models lacks."""

from espnet_plugins.pretrain.encoder import PositionalHuBERT

__all__ = ["PositionalHuBERT"]
