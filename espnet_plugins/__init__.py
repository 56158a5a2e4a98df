"""What ESPnet lacks for position-invariant fine-tuning of speech enhancement with SSL models.

`espnet_plugins.soft_dtw` and `espnet_plugins.ssl` stand on torch (and torchaudio) alone. Everything that
touches ESPnet registers itself through `espnet_plugins.register`, which the programs in
`espnet_plugins.bin` import at module top level, so that spawned workers register as well.
"""
