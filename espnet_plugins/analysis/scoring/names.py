"""What tables and figures call the systems, and in which order they stand."""

from __future__ import annotations

import re

# Systems without a seed, in the order in which tables show them.
REFERENCE_SYSTEMS = ("clean", "noisy", "se")
_REFERENCES = {
    "clean": "clean speech, no front-end",
    "noisy": "noisy, no front-end",
    "se": "SE front-end, not fine-tuned",
}
# Objective -> name, baselines first.
OBJECTIVES = {
    "multi_condition": "multi-condition ASR, no front-end",
    "asr_only": "ASR loss alone (IRIS)",
    "si_snr": "SI-SNR",
    "mimic": "mimic",
    "ssl_mse": "SSL-MSE",
    "ssl_mse_pad": "SSL-MSE-PAD",
    "ssl_soft_dtw": "SSL-SoftDTW",
    "ssl_soft_dtw_layers": "SSL-SoftDTW, several layers",
    "ssl_soft_dtw_curriculum": "SSL-SoftDTW, curriculum on gamma",
    "ssl_soft_dtw_pad": "SSL-SoftDTW-PAD",
}
# What this project compares with the baselines, and the one that a comparison is about.
_OURS, _SUBJECT = "ssl_", "ssl_soft_dtw"
# These are the recognition loss and nothing else.
_WITHOUT_OBJECTIVE = ("multi_condition", "asr_only")
_MODES = {"joint": " + ASR loss", "se": ", front-end alone"}
_SEED = re.compile(r"^(?P<group>.+)_seed(?P<seed>\d+)$")


def split_seed(system: str) -> tuple[str, int | None]:
    """Split a system's name into its configuration and its seed.

    Example:
        >>> split_seed("ssl_mse_joint_seed3"), split_seed("noisy")
        (('ssl_mse_joint', 3), ('noisy', None))
    """
    match = _SEED.match(system)
    return (match["group"], int(match["seed"])) if match else (system, None)


def label(configuration: str, seeds: int = 1) -> str:
    """What tables call a configuration.

    Args:
        configuration: A system's name without its seed; one of several experiments may have its name before it.
        seeds: How many seeds a row stands for.

    Example:
        >>> label("noisy"), label("ssl_mse_joint", 3), label("si_snr_se"), label("mine")
        ('noisy, no front-end', 'SSL-MSE + ASR loss (3 seeds)', 'SI-SNR, front-end alone', 'mine')
        >>> label("multi_condition_joint"), label("other/mimic_joint")
        ('multi-condition ASR, no front-end', 'other: mimic + ASR loss')
    """
    experiment, slash, own = configuration.rpartition("/")
    objective, mode = _split_mode(own)
    name = _REFERENCES.get(own, own)
    if objective in OBJECTIVES:
        name = OBJECTIVES[objective] + ("" if objective in _WITHOUT_OBJECTIVE else _MODES[mode])
    return (f"{experiment}: " if slash else "") + name + (f" ({seeds} seeds)" if seeds > 1 else "")


def without_front_end(configuration: str) -> bool:
    """Whether a fine-tuned configuration has a recogniser alone.

    Example:
        >>> without_front_end("multi_condition_joint"), without_front_end("asr_only_joint")
        (True, False)
    """
    return _own_name(configuration).startswith("multi_condition_")


def is_baseline(configuration: str) -> bool:
    """Whether a fine-tuned configuration is one that this project's objectives are compared with.

    Example:
        >>> is_baseline("other/mimic_joint"), is_baseline("ssl_mse_joint")
        (True, False)
    """
    return not _own_name(configuration).startswith(_OURS)


def is_subject(configuration: str) -> bool:
    """Whether a configuration is the position-invariant fine-tuning that comparisons are about, or a variant of it.

    Example:
        >>> is_subject("ssl_soft_dtw_joint"), is_subject("ssl_mse_joint")
        (True, False)
    """
    return _own_name(configuration).startswith(_SUBJECT)


def table_order(system: str) -> tuple[int, str, int]:
    """Sorts systems: references, baselines, then the others by name; each by seed.

    Example:
        >>> sorted(["ssl_mse_joint_seed1", "ssl_mse_joint_seed0", "si_snr_joint_seed0", "noisy"], key=table_order)
        ['noisy', 'si_snr_joint_seed0', 'ssl_mse_joint_seed0', 'ssl_mse_joint_seed1']
    """
    group, seed = split_seed(system)
    own = _own_name(group)
    objective, _ = _split_mode(own)
    known = [*REFERENCE_SYSTEMS, *OBJECTIVES]
    name = objective if objective in OBJECTIVES else own
    return known.index(name) if name in known else len(known), group, -1 if seed is None else seed


def _own_name(configuration: str) -> str:
    """Without the experiment before it."""
    return configuration.rpartition("/")[2]


def _split_mode(configuration: str) -> tuple[str, str]:
    objective, _, mode = configuration.rpartition("_")
    return (objective, mode) if mode in _MODES else (configuration, "")
