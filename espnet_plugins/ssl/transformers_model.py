"""Any speech encoder of transformers as an upstream: its own forward pass, an utterance at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.ssl import kaldi_features
from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.weights import named, weights_are_finite

# As transformers' feature extractor normalizes a waveform.
_VARIANCE_FLOOR = 1e-7
_FILTERBANK = "wav2vec2-bert"
# Features by which hidden states would no longer be what they seem.
_REFUSED = {"add_adapter": False, "is_encoder_decoder": False, "quantization_config": None}
_SIZES = ("hidden_size", "num_hidden_layers")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def describe_encoder(directory: Path, settings: Mapping[str, Any]) -> UpstreamSpec:
    """Describe the speech encoder of a model directory.

    Whether an architecture is one shows in its configuration: it takes waveforms through convolutions (``conv_kernel``,
    ``conv_stride``), or it is w2v-BERT, which takes filterbank features. Building the model checks that against what
    it gives.

    Args:
        directory: with ``config.json``, ``preprocessor_config.json`` and the weights.
        settings: its ``config.json``.

    Returns:
        The description.

    Raises:
        FileNotFoundError: where preprocessor_config.json or the weights are missing.
        ValueError: for a model that is no speech encoder, or has features that cannot be honored.
    """
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    kind = settings.get("model_type")
    where = f"{directory}: model_type {kind!r}"
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(f"{where} is none that the installed transformers knows; another version of it may")
    if (config_class := CONFIG_MAPPING[kind]) not in MODEL_MAPPING:
        raise ValueError(f"{where} is no encoder by itself")
    config = read_configuration(directory)
    model_class: Any = MODEL_MAPPING[config_class]
    takes = getattr(model_class, "main_input_name", None)
    for key, accepted in _REFUSED.items():
        if getattr(config, key, accepted) != accepted:
            raise ValueError(f"{where}: {key} is {getattr(config, key)!r}; accepted is {accepted!r}")
    # Of the class: a file can hold any key beside those that its architecture has.
    options = vars(config_class())
    convolved = takes == "input_values" and {"conv_kernel", "conv_stride"} <= set(options)
    if not (convolved or kind == _FILTERBANK) or not all(hasattr(config, key) for key in _SIZES):
        raise ValueError(
            f"{where} ({model_class.__name__}, which takes {takes}) is no speech encoder over waveforms; accepted are "
            "those with convolutions over a waveform (hubert, wavlm, data2vec-audio, sew, unispeech-sat, "
            "wav2vec2-conformer, ...), wav2vec2-bert and whisper"
        )
    if not any(path for pattern in _WEIGHTS for path in directory.glob(pattern)):
        raise FileNotFoundError(f"{directory} has no weights: neither model.safetensors nor pytorch_model.bin")
    extractor = read_extractor(directory)
    if kind == _FILTERBANK:
        front = _filterbank(directory, config, extractor)
        convolutions: tuple[tuple[int, int], ...] = kaldi_features.CONVOLUTIONS
    else:
        front = _waveform(directory, extractor)
        squeezed = getattr(config, "squeeze_factor", 1)  # SEW's blocks see means of so many frames
        convolutions = (*zip(config.conv_kernel, config.conv_stride, strict=True), (squeezed, squeezed))
    spec = UpstreamSpec(
        name=f"huggingface model {directory}",
        feature_dim=config.hidden_size,
        n_layers=config.num_hidden_layers,
        convolutions=convolutions,
        normalize_waveform=False,  # the model's own way of it is a part of `front`
        sample_rate=extractor["sampling_rate"],
        build=lambda: _load(directory, config, front, spec),
        all_at_once=True,
    )
    return spec


def read_configuration(directory: Path) -> Any:
    """Read a model directory's configuration; no code of the directory is run.

    Raises:
        ValueError: where transformers cannot read it.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"{directory}: config.json cannot be taken: {_first_line(error)}") from error


class TransformersModel(torch.nn.Module):
    """A speech encoder of transformers; see :class:`~espnet_plugins.ssl.spec.UpstreamSpec`, ``all_at_once``.

    Hidden state i is transformers' ``hidden_states[i]``; the last one is ``last_hidden_state``, behind the final norm
    of models that have one, which transformers 4 and 5 list differently. SEW's states are those between its pooling
    and its upsampling, the last one the output of its last block.

    Args:
        model: the model.
        front: waveforms (B, T) of one length to the model's input.
    """

    def __init__(self, model: Any, front: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.front = front
        self._input = model.main_input_name
        self._upsampled = hasattr(model.config, "squeeze_factor")

    def extract(self, waveform: torch.Tensor) -> torch.Tensor:
        """All hidden states of utterances of one length: (B, T) -> (B, N, n_layers + 1, D)."""
        # Some versions draw for layer drop even in evaluation.
        with torch.random.fork_rng(devices=[]):
            output = self.model(**{self._input: self.front(waveform)}, output_hidden_states=True, return_dict=True)
        states = output.hidden_states
        if not self._upsampled:
            states = (*states[:-1], output.last_hidden_state)
        return torch.stack(states, dim=2)


class NormalizedWaveform(torch.nn.Module):
    """Zero mean and unit variance over each utterance's own samples, as transformers does it.

    Example:
        >>> NormalizedWaveform()(torch.tensor([[1.0, 3.0]])).round(decimals=3).tolist()
        [[-1.0, 1.0]]
    """

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Waveforms (B, T) of one length to waveforms (B, T)."""
        variance, mean = torch.var_mean(waveform, dim=1, keepdim=True, correction=0)
        return (waveform - mean) / (variance + _VARIANCE_FLOOR).sqrt()


def read_extractor(directory: Path) -> dict[str, Any]:
    """Read what a directory says about its feature extractor.

    Args:
        directory: of a model.

    Returns:
        ``preprocessor_config.json``, or its part of ``processor_config.json``; ``sampling_rate`` is among it.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is damaged or lacks the rate.
    """
    for name, part in (("preprocessor_config.json", None), ("processor_config.json", "feature_extractor")):
        path = directory / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content = content if part is None else content[part]
            rate = content["sampling_rate"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from error
        if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
            raise ValueError(f"{path}: sampling_rate is {rate!r}, not a whole number of samples per second")
        return content
    raise FileNotFoundError(
        f"{directory} has no preprocessor_config.json, which says how waveforms are prepared: fetch it with the model, "
        'or write it ({"sampling_rate": 16000, "do_normalize": true or false, as in the training})'
    )


def _waveform(directory: Path, extractor: Mapping[str, Any]) -> torch.nn.Module:
    _check_extractor(directory, extractor, {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1})
    normalize = extractor.get("do_normalize")
    if not isinstance(normalize, bool):
        raise ValueError(f"{directory}: preprocessor_config.json: do_normalize is {normalize!r}; give true or false")
    return NormalizedWaveform() if normalize else torch.nn.Identity()


def _filterbank(directory: Path, config: Any, extractor: Mapping[str, Any]) -> torch.nn.Module:
    mels = extractor.get("num_mel_bins", 80)
    accepted = {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "feature_size": mels, "stride": 2}
    _check_extractor(directory, extractor, {**accepted, "sampling_rate": kaldi_features.SAMPLE_RATE})
    if config.feature_projection_input_dim != 2 * mels:
        raise ValueError(
            f"{directory}: feature_projection_input_dim is {config.feature_projection_input_dim}, but two frames of "
            f"{mels} bands are {2 * mels} features"
        )
    return kaldi_features.Filterbank(mels)


def _check_extractor(directory: Path, extractor: Mapping[str, Any], accepted: Mapping[str, Any]) -> None:
    for key, value in accepted.items():
        if extractor.get(key, value) != value:
            raise ValueError(
                f"{directory}: preprocessor_config.json: {key} is {extractor[key]!r}; accepted is {value!r}"
            )


def _load(directory: Path, config: Any, front: torch.nn.Module, spec: UpstreamSpec) -> torch.nn.Module:
    model = TransformersModel(load_model(directory, config), front).eval()
    for samples in (spec.receptive_field, spec.receptive_field + 5 * spec.hop_length + spec.hop_length // 2):
        try:
            with torch.no_grad():
                found = tuple(model.extract(torch.randn(1, samples)).shape[1:])
        except Exception as error:
            raise ValueError(f"{directory}: the model fails on {samples} samples: {_first_line(error)}") from error
        if found != (expected := (spec.frames_of(samples), spec.n_layers + 1, spec.feature_dim)):
            raise ValueError(
                f"{directory}: {samples} samples give (frames, hidden states, features) {found}, but its config.json "
                f"promises {expected}: it cannot be taken as a speech encoder"
            )
    return model


def load_model(directory: Path, config: Any) -> Any:
    """Load a model of transformers; every tensor must be there, of the right shape and finite.

    Args:
        directory: the model directory.
        config: its configuration.

    Returns:
        The model, in float32.

    Raises:
        ValueError: where its weights cannot be read or do not fit, naming the tensors.
    """
    from transformers import AutoModel

    load: Callable[..., Any] = partial(AutoModel.from_pretrained, directory, config=config, local_files_only=True)
    try:
        model, info = load(
            dtype=torch.float32, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:
        raise ValueError(
            f"{directory}: its weights cannot be read (damaged, cut off, or of another program): {_first_line(error)}"
        ) from error
    _check_loaded(directory, model, info)
    return model


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _check_loaded(directory: Path, model: torch.nn.Module, info: Mapping[str, Any]) -> None:
    """Refuse weights of which transformers left some out or filled some in; heads behind the model do not count."""
    parts = {name for name, _ in model.named_children()}
    own = model.state_dict()
    misshapen = {key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]}
    faults = {
        "missing": set(info["missing_keys"]) - {"masked_spec_embed"} - misshapen,
        "unexpected": {
            name
            for name in info["unexpected_keys"]
            if parts & set(name.removeprefix(f"{model.base_model_prefix}.").split(".")[:1])
        },
        "misshapen": misshapen,
        "not finite": {name for name in own if name not in misshapen and not weights_are_finite(own[name])},
    }
    found = [f"{kind} {named(sorted(names))}" for kind, names in faults.items() if names]
    if found:
        raise ValueError(f"{directory} does not fit its config.json: {'; '.join(found)}")
