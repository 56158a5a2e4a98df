"""ESPnet's adapters, checked before a training begins."""

from __future__ import annotations

import argparse
import importlib
from typing import TypeVar

from torch import nn

from espnet_plugins.checks import check_choice, check_mapping

Model = TypeVar("Model", bound=nn.Module)
_LORA = ("rank", "alpha", "dropout_rate", "target_modules", "bias_type")


def check_adapter(model: Model, args: argparse.Namespace) -> Model:
    """Check that the adapter which is asked for finds its place in a model; without one, nothing is done.

    Args:
        model: Before the adapter is put in.
        args: Of the training: use_adapter, adapter, adapter_conf.

    Returns:
        The model.

    Raises:
        ValueError: For an adapter that cannot be put in, saying what can.

    Example:
        >>> args = argparse.Namespace(use_adapter=True, adapter="houlsby", adapter_conf={})
        >>> check_adapter(nn.Linear(1, 1), args)
        Traceback (most recent call last):
        ValueError: adapter: houlsby: ESPnet puts it into its own front-end s3prl alone; give lora
    """
    if not getattr(args, "use_adapter", False):
        return model
    if check_choice("adapter", args.adapter, ("lora", "houlsby")) == "houlsby":
        raise ValueError("adapter: houlsby: ESPnet puts it into its own front-end s3prl alone; give lora")
    conf = check_mapping("adapter_conf", args.adapter_conf, _LORA)
    try:
        importlib.import_module("loralib")
    except ImportError as error:
        raise ValueError("adapter: lora needs loralib: pip install loralib") from error
    targets = conf.get("target_modules", ["query"])
    known = [name for name, part in model.named_modules() if isinstance(part, (nn.Linear, nn.Embedding))]
    if not any(name.endswith(target) for name in known for target in targets):
        ends = ", ".join(sorted({name.rpartition(".")[2] for name in known})) or "none"
        raise ValueError(
            f"adapter_conf: target_modules: {targets} names no linear layer or embedding of the model; its are {ends}"
        )
    return model
