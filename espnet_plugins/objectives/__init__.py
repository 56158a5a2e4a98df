"""Representation-guided criteria for ESPnet's enhancement task."""

from typing import TypeVar

from espnet_plugins.objectives.base import FrameCriterion, FrameOptions, SSLCriterion, SSLOptions
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
T = TypeVar("T", bound=type[FrameCriterion])


def register_criterion(cls: T) -> T:
    """Make a criterion known by its `default_name`; used as a decorator.

    ESPnet's tables take it over when `espnet_plugins.register` is imported, after the modules that
    :mod:`espnet_plugins.extensions` imports.

    Raises:
        ValueError: For a class without a name, or the name of another one.

    Example:
        >>> @register_criterion
        ... class Nothing(SSLCriterion):
        ...     default_name = "ssl_mse"
        Traceback (most recent call last):
        ValueError: criterion 'ssl_mse' exists: espnet_plugins.objectives.ssl_mse.SSLMSE; choose another default_name
    """
    known = CRITERIA.get(cls.default_name, cls)
    if not cls.default_name:
        raise ValueError(f"{cls.__qualname__}: give the criterion a default_name, by which YAML calls it")
    taken = f"{known.__module__}.{known.__qualname__}"
    if taken != f"{cls.__module__}.{cls.__qualname__}":
        raise ValueError(f"criterion '{cls.default_name}' exists: {taken}; choose another default_name")
    CRITERIA[cls.default_name] = cls
    return cls


__all__ = [
    "CRITERIA",
    "SSLMSE",
    "SSL_CRITERIA",
    "FrameCriterion",
    "FrameOptions",
    "Mimic",
    "SSLCriterion",
    "SSLMSEPad",
    "SSLOptions",
    "SSLSoftDTW",
    "register_criterion",
]
