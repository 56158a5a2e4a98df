"""A trained front-end written as an ONNX graph, and the graph held against torch."""

from __future__ import annotations

import importlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.separator.tcn_separator import TCNSeparator
from torch import nn

from espnet_plugins.atomic import atomic_path
from espnet_plugins.checks import check_number
from espnet_plugins.enh.demucs_separator import DemucsSeparator
from espnet_plugins.enh.gtcrn import HOP_LENGTH
from espnet_plugins.enh.gtcrn_separator import GTCRNSeparator
from espnet_plugins.enh.latency import algorithmic_latency
from espnet_plugins.enh.model import LengthAwareEnhancementModel
from espnet_plugins.inference.enhancer import SHORTEST_SECONDS
from espnet_plugins.inference.experiment import find_experiment, load_front_end
from espnet_plugins.onnx_export.conv_tasnet import ConvTasNetStep, WholeConvTasNet
from espnet_plugins.onnx_export.demucs import DemucsStep, WholeDemucs
from espnet_plugins.onnx_export.form import Form, Step, Whole, stream_form, whole_form
from espnet_plugins.onnx_export.gtcrn import GTCRNStep, WholeGTCRN

# Of the written graph, against torch, as a share of the largest value.
TOLERANCE = 1e-4
# Smaller values count as of this size.
_SILENCE = 1e-4
# Layer normalization is an operator from here on; onnxruntime has it since 1.12.
_OPSET = 17


class MissingPackage(ImportError):
    """A package that this needs is not installed."""


class ExportedGraph(NamedTuple):
    """A written graph.

    Args:
        path: The file.
        facts: What its metadata say.
        difference: The largest difference to torch that was found, as a share of the largest value.
    """

    path: Path
    facts: dict[str, Any]
    difference: float


def export_onnx(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    stream: bool = False,
    rate: int = 16000,
    config: str | PathLike[str] | None = None,
    moved: Mapping[str, str] | None = None,
) -> ExportedGraph:
    """Write the front-end of a training, or of a joint one, as an ONNX file.

    The graph is run by onnxruntime and compared with torch before it is put in place.

    Args:
        model: A model file or a training's directory; see
            :func:`~espnet_plugins.inference.experiment.find_experiment`.
        out: The file.
        stream: One step of a stream, instead of a whole utterance; for causal front-ends.
        rate: Samples per second that it was trained at.
        config: config.yaml of the training, where it is not beside the model.
        moved: Beginnings of paths in it, and what stands there now.

    Returns:
        The file, what is written in it, and how far it is from torch.

    Raises:
        MissingPackage: Without onnx and onnxruntime.
        FileNotFoundError: For a missing model or configuration.
        ValueError: For a front-end that is not exported, or a graph that differs from torch.
    """
    onnx, onnxruntime = _packages()
    check_number("rate", rate, low=1)
    experiment = find_experiment(model, config=config, moved=moved)
    front_end = load_front_end(experiment)
    form = make_form(front_end, stream=stream, rate=rate)
    path = Path(out)
    with atomic_path(path) as temporary:
        _write(onnx, form, temporary)
        difference = compare(onnxruntime.InferenceSession(str(temporary)), form)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"{path} is not written: its graph differs from torch by up to {difference:.2g} of the largest value"
            )
    return ExportedGraph(path, form.facts, difference)


def _packages() -> tuple[ModuleType, ModuleType]:
    try:
        onnx, onnxruntime = (importlib.import_module(name) for name in ("onnx", "onnxruntime"))
    except ImportError as error:
        raise MissingPackage(f"ONNX files need onnx and onnxruntime ({error}): pip install onnx onnxruntime") from error
    return onnx, onnxruntime


def make_form(model: LengthAwareEnhancementModel, *, stream: bool, rate: int) -> Form:
    """Choose the graph of a front-end.

    Args:
        model: In evaluation mode, on the CPU.
        stream: One step of a stream, instead of a whole utterance.
        rate: Samples per second.

    Returns:
        The graph's network, inputs and facts.

    Raises:
        ValueError: For a front-end that is not exported, or does not stream.
    """
    kind, hop_length, whole, step = _networks(model)
    delay, shortest = algorithmic_latency(model), round(SHORTEST_SECONDS * rate)
    facts = {"kind": kind, "sampling_rate": rate, "speakers": model.num_spk, "hop_length": hop_length}
    facts |= {"delay": None if math.isinf(delay) else int(delay), "shortest": shortest}
    normalized = model.normalize_variance or model.normalize_variance_per_ch
    if not stream:
        return whole_form(Whole(whole(), shortest=shortest, normalize_variance=normalized).eval(), facts)
    if normalized:
        raise ValueError("model_conf: normalize_variance looks at the whole utterance: there is no stream of it")
    return stream_form(step().eval(), facts)


def _networks(
    model: LengthAwareEnhancementModel,
) -> tuple[str, int, Callable[[], nn.Module], Callable[[], Step]]:
    """The kind of a front-end, its hop in samples, what makes the network of a whole utterance, and that of a step."""
    encoder, separator, decoder = model.encoder, model.separator, model.decoder
    if isinstance(separator, DemucsSeparator):
        demucs = separator.demucs
        return "demucs", demucs.hop_length, partial(WholeDemucs, demucs), partial(DemucsStep, demucs)
    if isinstance(separator, GTCRNSeparator):
        gtcrn = separator.gtcrn
        return "gtcrn", HOP_LENGTH, partial(WholeGTCRN, gtcrn), partial(GTCRNStep, gtcrn)
    if isinstance(encoder, ConvEncoder) and isinstance(separator, TCNSeparator) and isinstance(decoder, ConvDecoder):
        parts = (encoder, separator, decoder)
        return "conv_tasnet", encoder.stride, partial(WholeConvTasNet, *parts), partial(ConvTasNetStep, *parts)
    names = " with ".join(type(part).__name__.lstrip("_") for part in (encoder, separator))
    raise ValueError(
        f"{names}: there is no graph of this front-end; demucs, gtcrn, and tcn between encoder and decoder `conv` have "
        "one, others are applied by espnet_plugins.bin.enhance"
    )


def _write(onnx: ModuleType, form: Form, path: Path) -> None:
    with _quiet():
        # The exporter that traces: the newer one needs two packages more, and is told every axis' bounds. Both torch
        # 2.11 and 2.14 have both.
        torch.onnx.export(
            form.network,
            tuple(form.inputs.values()),
            str(path),
            input_names=list(form.inputs),
            output_names=form.outputs,
            dynamic_axes=form.dynamic,
            opset_version=_OPSET,
            dynamo=False,
        )
    graph = onnx.load(str(path))
    facts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in form.facts.items()}
    onnx.helper.set_model_props(graph, facts)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, the exporter does not say that it is the older one, or what a trace keeps, which compare() tries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compare(session: Any, form: Form) -> float:
    """Run a graph and its network on the same inputs.

    Args:
        session: Of onnxruntime.
        form: What the graph was made of, with inputs to try.

    Returns:
        The largest difference of all outputs, as a share of the largest value of each; inf where shapes differ.
    """
    given, largest = dict(form.inputs), 0.0
    for trial in form.trials:
        given |= trial
        expected = form.run(given)
        results = session.run(form.outputs, {name: value.numpy() for name, value in given.items()})
        found = dict(zip(form.outputs, results, strict=True))
        for name, value in expected.items():
            if found[name].shape != tuple(value.shape):
                return math.inf
            if value.numel():
                difference = float(np.abs(found[name] - value.numpy()).max())
                largest = max(largest, difference / max(float(value.abs().max()), _SILENCE))
        given |= {name.removeprefix("next_"): torch.from_numpy(found[name]) for name in form.outputs[1:]}
    return largest
