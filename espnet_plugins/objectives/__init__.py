"""Representation-guided criteria for ESPnet's enhancement task."""

from espnet_plugins.objectives.base import SSLCriterion
from espnet_plugins.objectives.ssl_mse import SSLMSE
from espnet_plugins.objectives.ssl_mse_pad import SSLMSEPad
from espnet_plugins.objectives.ssl_soft_dtw import SSLSoftDTW

CRITERIA: dict[str, type[SSLCriterion]] = {
    "ssl_mse": SSLMSE,
    "ssl_mse_pad": SSLMSEPad,
    "ssl_soft_dtw": SSLSoftDTW,
}

__all__ = ["CRITERIA", "SSLMSE", "SSLCriterion", "SSLMSEPad", "SSLSoftDTW"]
