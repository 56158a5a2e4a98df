"""What ESPnet lacks for position-invariant fine-tuning of speech enhancement with SSL models.

`espnet_plugins.soft_dtw` and `espnet_plugins.ssl` stand on torch (and torchaudio) alone. Everything that
touches ESPnet registers itself through `espnet_plugins.register`, which the programs in
`espnet_plugins.bin` import at module top level, so that spawned workers register as well.

Importing the package changes two things about ESPnet, imported later: it no longer fetches data from the network
(`espnet_plugins.offline`), and it prepares its type checks when they are needed, which halves the time of its import
(`espnet_plugins.typechecks`).
"""

from espnet_plugins.offline import import_without_network
from espnet_plugins.typechecks import check_types_on_first_call

import_without_network()
check_types_on_first_call()
