"""What ESPnet lacks for position-invariant fine-tuning of speech enhancement with SSL models.

`espnet_plugins.soft_dtw` and `espnet_plugins.ssl` stand on torch (and torchaudio) alone. Everything that
touches ESPnet registers itself through `espnet_plugins.register`, which the programs in
`espnet_plugins.bin` import at module top level, so that spawned workers register as well.

Importing the package changes one thing: ESPnet, imported later, no longer fetches data from the network
(`espnet_plugins.offline`).
"""

from espnet_plugins.offline import import_without_network

import_without_network()
