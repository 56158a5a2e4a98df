"""What ESPnet lacks for position-invariant fine-tuning of speech enhancement with SSL models.

`espnet_plugins.soft_dtw` and `espnet_plugins.ssl` stand on torch (and torchaudio) alone. Everything that
touches ESPnet registers itself through `espnet_plugins.register`, which the programs in
`espnet_plugins.bin` import at module top level, so that spawned workers register as well.

Importing the package changes three things about ESPnet, imported later: it no longer fetches data from the network
(`espnet_plugins.offline`), it prepares its type checks when they are needed (`espnet_plugins.typechecks`), and what few
of its models use is imported with these (`espnet_plugins.imports`). Its import takes a quarter of the time.
"""

from espnet_plugins.imports import functions_on_first_use, import_on_first_use
from espnet_plugins.offline import import_without_network
from espnet_plugins.typechecks import check_types_on_first_call

import_without_network()
check_types_on_first_call()
# Phonemes by g2p_en, BLEU of translations, S4 decoders: none of them is in a program's way.
import_on_first_use(["g2p_en", "hydra", "nltk"])
# Pictures of attentions, for which ESPnet imports a synthesizer with numba and scipy.stats.
_ATTENTIONS = "calculate_all_attentions"
functions_on_first_use({f"espnet2.main_funcs.{_ATTENTIONS}": [_ATTENTIONS]})
