"""The enhancement model with lengths: nothing behind an utterance's end reaches a loss."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from espnet2.enh.espnet_model import ESPnetEnhancementModel

from espnet_plugins.checks import check_choice, check_mapping
from espnet_plugins.enh.criteria import PerUtterance, PerUtteranceMask, adapt
from espnet_plugins.enh.lengths import mask_padding, std
from espnet_plugins.enh.silence import find_silence, stand_in, take_rows
from espnet_plugins.enh.unpadded import ignore_padding as respect_lengths
from espnet_plugins.enh.wrappers import InheritPermutation, SortedEstimates
from espnet_plugins.recast import recast
from espnet_plugins.schedule import schedules

_OWN_OPTIONS = ("ignore_padding",)
# What a training keeps in the state dict for itself: how far the schedules of its criteria are. Checkpoints name it so.
_SCHEDULES = "curricula"


def split_options(key: str, conf: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell this model's options from those of ESPnet's.

    Args:
        key: What the options are called in the YAML.
        conf: The options of both.

    Returns:
        ESPnet's, and those of :meth:`LengthAwareEnhancementModel.from_stock`.

    Raises:
        ValueError: For an unknown key or a value that is not accepted.

    Example:
        >>> split_options("model_conf", {"normalize_variance": True, "ignore_padding": False})
        ({'normalize_variance': True}, {'ignore_padding': False})
    """
    stock = inspect.signature(ESPnetEnhancementModel).parameters
    accepted = [name for name in stock if stock[name].default is not inspect.Parameter.empty]
    given = check_mapping(key, conf, (*accepted, *_OWN_OPTIONS))
    own = {
        name: check_choice(f"{key}: {name}", given.pop(name), (True, False)) for name in _OWN_OPTIONS if name in given
    }
    return given, own


def without_schedules(weights: Mapping[str, torch.Tensor], *, prefix: str = "") -> dict[str, torch.Tensor]:
    """Leave out of a front-end's weights what its training alone needs.

    Args:
        weights: A state dict.
        prefix: What stands before the front-end's names in it.

    Example:
        >>> list(without_schedules({"encoder.weight": torch.ones(1), "curricula.0.done": torch.tensor(3)}))
        ['encoder.weight']
    """
    return {name: value for name, value in weights.items() if not name.startswith(f"{prefix}{_SCHEDULES}.")}


class LengthAwareEnhancementModel(ESPnetEnhancementModel):
    """ESPnet's enhancement model, with each utterance's own length respected by every part and every loss.

    Its arguments are those of ESPnetEnhancementModel; from_stock() builds it from the one that ESPnet's task makes.
    """

    last_stats: dict[str, torch.Tensor]
    sorted_estimates: SortedEstimates

    @classmethod
    def from_stock(cls, model: ESPnetEnhancementModel, *, ignore_padding: bool = True) -> LengthAwareEnhancementModel:
        """Make one of a model that ESPnet's task has built.

        Args:
            model: What EnhancementTask.build_model() returned.
            ignore_padding: Enhance each utterance of a padded batch as alone, see
                :func:`~espnet_plugins.enh.unpadded.ignore_padding`; False leaves the parts as ESPnet has them.

        Returns:
            A model of this class with the same parameters under the same names.
        """
        # ESPnet's task names its model class in the middle of build_model().
        model = recast(model, cls, last_stats={}, sorted_estimates=SortedEstimates())
        if ignore_padding:
            model.encoder = respect_lengths(model.encoder)
            model.separator = respect_lengths(model.separator)
            model.decoder = respect_lengths(model.decoder, encoder=model.encoder)
        for wrapper in model.loss_wrappers or []:
            if not isinstance(wrapper, InheritPermutation):
                wrapper.criterion = adapt(wrapper.criterion, model.encoder)
        # ESPnet keeps the wrappers in a plain list, whose buffers are in no state dict.
        found = list(schedules(torch.nn.ModuleList(model.loss_wrappers or [])))
        if found:
            model.add_module(_SCHEDULES, torch.nn.ModuleList(found))
        model.register_load_state_dict_pre_hook(_ignore_foreign_schedules)
        return model

    def forward(self, speech_mix, speech_mix_lengths=None, **batch):
        """Compute the loss of a batch, padded or of chunks of one length, in the training of a front-end alone."""
        if speech_mix_lengths is not None:
            # ESPnet takes the signal's variance before it calls forward_enhance().
            speech_mix = mask_padding(speech_mix, speech_mix_lengths)
        return super().forward(speech_mix, speech_mix_lengths, **batch)

    def forward_enhance(self, speech_mix, speech_lengths, additional=None, fs=None):
        """Enhance a padded batch; the estimates are zero behind each utterance's end.

        `normalize_variance` is honored here, over each utterance's own samples: ESPnet does so in the training of a
        front-end alone, over the padding too, and neither in joint training nor in recognition. Normalizing twice
        changes nothing.
        """
        speech_mix = mask_padding(speech_mix, speech_lengths)
        scale = self._scale(speech_mix, speech_lengths)
        if scale is not None:
            speech_mix = speech_mix / scale
        estimates, feature_mix, feature_pre, others = super().forward_enhance(
            speech_mix, speech_lengths, additional, fs=fs
        )
        if estimates is not None and not isinstance(estimates[0], (list, tuple)):
            if scale is not None:
                back = scale if scale.dim() == 2 else scale[:, :, min(self.ref_channel, scale.shape[2] - 1)]
                estimates = [estimate * back for estimate in estimates]
            estimates = [mask_padding(estimate, speech_lengths) for estimate in estimates]
        return estimates, feature_mix, feature_pre, others

    def _scale(self, speech_mix: torch.Tensor, speech_lengths: torch.Tensor) -> torch.Tensor | None:
        if not (self.normalize_variance or self.normalize_variance_per_ch):
            return None
        return std(speech_mix, speech_lengths, per_channel=self.normalize_variance_per_ch)

    def forward_loss(
        self,
        speech_pre,
        speech_lengths,
        feature_mix,
        feature_pre,
        others,
        speech_ref,
        noise_ref=None,
        dereverb_speech_ref=None,
        *args,
        **kwargs,
    ):
        """Compute the criteria, with `others["speech_lengths"]` for wrappers that can use it.

        A row with a silent reference takes no part. The weight is the number of the others; the statistic
        `silent_references` says how many were left out for each one that was not.

        The statistics of every criterion are kept in `last_stats`, since ESPnet's joint model asks for the
        sum alone.
        """
        speech_ref = [mask_padding(reference, speech_lengths) for reference in speech_ref]
        silent = self._silent(speech_lengths, speech_ref, noise_ref, dereverb_speech_ref)
        heard = (~silent).nonzero().flatten().tolist()
        n_rows = len(silent)
        parts: tuple[Any, ...] = (speech_pre, speech_lengths, feature_mix, feature_pre, others)
        parts = (*parts, speech_ref, noise_ref, dereverb_speech_ref, list(args), kwargs)
        if not heard:
            logging.warning(f"All {n_rows} references of a batch are silent: nothing is learned from it")
            parts = self._all_silent(*parts)
        elif len(heard) < n_rows:
            parts = tuple(take_rows(part, heard, n_rows) for part in parts)
        loss, stats, weight, perm = self._compare(*parts[:-2], *parts[-2], **parts[-1])
        stats["silent_references"] = torch.full_like(loss.detach(), (n_rows - len(heard)) / max(len(heard), 1))
        if not heard:
            loss, weight = 0.0 * loss, 0 * weight
            stats = {name: 0.0 * value for name, value in stats.items()}
        elif perm is not None and len(heard) < n_rows:
            sorted_rows = torch.arange(perm.shape[1], device=perm.device).repeat(n_rows, 1)
            sorted_rows[heard] = perm
            perm = sorted_rows
        self.last_stats = {
            name: value if heard else value + torch.nan for name, value in stats.items() if name != "loss"
        }
        return loss, stats, weight, perm

    def _silent(self, lengths, speech_ref, noise_ref, dereverb_ref) -> torch.Tensor:
        """Rows with a silent one among the references that a criterion compares with."""
        groups = [speech_ref]
        criteria = [wrapper.criterion for wrapper in self.loss_wrappers]
        if noise_ref is not None and any(getattr(criterion, "is_noise_loss", False) for criterion in criteria):
            groups.append(noise_ref)
        if dereverb_ref is not None and any(getattr(criterion, "is_dereverb_loss", False) for criterion in criteria):
            groups.append(dereverb_ref)
        found = [torch.stack([find_silence(reference, lengths) for reference in group]) for group in groups]
        # Where the number of speakers varies, a silent reference stands for a speaker that is not there.
        found[0] = found[0].all(0, keepdim=True) if self.flexible_numspk else found[0]
        return torch.cat(found).any(0)

    def _all_silent(
        self, speech_pre, lengths, feature_mix, feature_pre, others, speech_ref, noise_ref, dereverb_ref, args, kwargs
    ) -> tuple:
        """The same arguments with noise for waveforms."""
        others = {
            name: stand_in(value) if name.startswith(("noise", "dereverb")) else value for name, value in others.items()
        }
        lengths = torch.full_like(lengths, speech_ref[0].shape[1])
        references = [stand_in(group, seed=100 * k) for k, group in enumerate((speech_ref, noise_ref, dereverb_ref), 1)]
        return stand_in(speech_pre), lengths, feature_mix, feature_pre, others, *references, args, kwargs

    def _compare(self, speech_pre, speech_lengths, feature_mix, feature_pre, others, *args, **kwargs):
        """ESPnet's sum of the criteria, which are told the lengths."""
        for wrapper in self.loss_wrappers:
            if isinstance(wrapper.criterion, (PerUtterance, PerUtteranceMask)):
                wrapper.criterion.lengths = speech_lengths
        self.sorted_estimates = SortedEstimates()
        others = {**others, "speech_lengths": speech_lengths, "sorted_estimates": self.sorted_estimates}
        return super().forward_loss(speech_pre, speech_lengths, feature_mix, feature_pre, others, *args, **kwargs)


def _ignore_foreign_schedules(model, state_dict, prefix, *_) -> None:
    """Let a model start from the weights of one whose criteria had schedules."""
    own = model.state_dict(prefix=prefix)
    for name in state_dict.keys() - without_schedules(state_dict, prefix=prefix).keys() - own.keys():
        del state_dict[name]
