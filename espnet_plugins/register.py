"""Adds this package's classes to ESPnet's choices; the only place that writes into them.

ESPnet has no plug-in mechanism: its tasks look classes up by name in `ClassChoices` tables. The tables of
criteria and wrappers are looked up live; those of the joint task are copies made at import, so that both
the original and the copy are written. Modules of the user (`espnet_plugins.extensions`) are imported first.
"""

from espnet2.tasks import asr, enh, enh_s2t, hubert

from espnet_plugins.asr.frontend import FrozenSSLFrontend
from espnet_plugins.asr.linear import LinearEncoder
from espnet_plugins.asr.normalize import OwnFramesMVN
from espnet_plugins.enh.demucs_separator import DemucsSeparator
from espnet_plugins.enh.gtcrn_separator import GTCRNSeparator
from espnet_plugins.enh.identity import Identity
from espnet_plugins.enh.wrappers import InheritPermutation
from espnet_plugins.extensions import import_announced
from espnet_plugins.objectives import CRITERIA
from espnet_plugins.pretrain import PositionalHuBERT

SEPARATORS = {"demucs": DemucsSeparator, "gtcrn": GTCRNSeparator, "identity": Identity}
FRONTENDS = {"frozen_ssl": FrozenSSLFrontend}
PRETRAIN_ENCODERS = {"positional_hubert": PositionalHuBERT}
ENCODERS = {"linear": LinearEncoder}
# In place of ESPnet's own of that name.
NORMALIZATIONS = {"utterance_mvn": OwnFramesMVN}
WRAPPERS = {"inherit_permutation": InheritPermutation}


def register() -> None:
    """Put every class of this package into ESPnet's tables; calling it again changes nothing.

    Example:
        >>> register()
        >>> from espnet2.tasks.enh import criterion_choices
        >>> "ssl_soft_dtw" in criterion_choices.classes
        True
    """
    enh.criterion_choices.classes.update(CRITERIA)
    enh.loss_wrapper_choices.classes.update(WRAPPERS)
    for choices in (enh.separator_choices, enh_s2t.enh_separator_choices):
        choices.classes.update(SEPARATORS)
    asr.frontend_choices.classes.update(FRONTENDS)
    for choices in (asr.normalize_choices, hubert.normalize_choices):
        choices.classes.update(NORMALIZATIONS)
    hubert.encoder_choices.classes.update(PRETRAIN_ENCODERS)
    for choices in (asr.encoder_choices, enh_s2t.asr_encoder_choices):
        choices.classes.update(ENCODERS)


import_announced()
register()
