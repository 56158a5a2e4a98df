"""Representation-guided criteria for ESPnet's enhancement task."""

from espnet_plugins.objectives.base import FrameCriterion, SSLCriterion
from espnet_plugins.objectives.mimic import Mimic
from espnet_plugins.objectives.ssl_mse import SSLMSE
from espnet_plugins.objectives.ssl_mse_pad import SSLMSEPad
from espnet_plugins.objectives.ssl_soft_dtw import SSLSoftDTW

SSL_CRITERIA: dict[str, type[SSLCriterion]] = {
    "ssl_mse": SSLMSE,
    "ssl_mse_pad": SSLMSEPad,
    "ssl_soft_dtw": SSLSoftDTW,
}
CRITERIA: dict[str, type[FrameCriterion]] = {**SSL_CRITERIA, "mimic": Mimic}

__all__ = ["CRITERIA", "SSLMSE", "SSL_CRITERIA", "FrameCriterion", "Mimic", "SSLCriterion", "SSLMSEPad", "SSLSoftDTW"]
