"""The enhancement model with lengths: nothing behind an utterance's end reaches a loss."""

from __future__ import annotations

import torch
from espnet2.enh.espnet_model import ESPnetEnhancementModel

from espnet_plugins.enh.criteria import PerUtterance, PerUtteranceMask, adapt
from espnet_plugins.enh.wrappers import InheritPermutation, SortedEstimates


def mask_padding(waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set every sample behind an utterance's end to zero.

    Args:
        waveform: (B, T) or (B, T, C).
        lengths: (B,) in samples.

    Returns:
        A tensor of the same shape; the input itself where no utterance is shorter than T.

    Example:
        >>> mask_padding(torch.ones(2, 3), torch.tensor([3, 1])).tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """
    n_samples = waveform.shape[1]
    if bool((lengths >= n_samples).all()):
        return waveform
    valid = torch.arange(n_samples, device=waveform.device) < lengths[:, None].to(waveform.device)
    valid = valid.reshape(*valid.shape, *[1] * (waveform.dim() - 2))
    # where() rather than a product, so that inf or NaN behind the end cannot pass.
    return torch.where(valid, waveform, waveform.new_zeros(()))


def level(waveform: torch.Tensor, lengths: torch.Tensor, *, per_channel: bool = False) -> torch.Tensor:
    """Standard deviation of each utterance over its own samples, never zero.

    Args:
        waveform: (B, T) or (B, T, C).
        lengths: (B,) in samples.
        per_channel: One value for each channel instead of one for all.

    Returns:
        (B, 1), or (B, 1, 1), or (B, 1, C) where `per_channel`.

    Example:
        >>> level(torch.tensor([[0.0, 2.0, 1.0, 9.0]]), torch.tensor([3])).tolist()
        [[1.0]]
    """
    joined = waveform.shape[2:] and not per_channel
    rows = [
        utterance[:n].reshape(-1, 1) if joined else utterance[:n]
        for utterance, n in zip(waveform, lengths.tolist(), strict=True)
    ]
    deviation = torch.stack([row.std(dim=0, keepdim=True) for row in rows])
    return deviation.nan_to_num(0.0).clamp(min=torch.finfo(deviation.dtype).tiny ** 0.5)


class LengthAwareEnhancementModel(ESPnetEnhancementModel):
    """ESPnet's enhancement model, with each utterance's own length respected by every loss.

    Args:
        As ESPnetEnhancementModel. Built by from_stock() from the one that ESPnet's task makes.
    """

    last_stats: dict[str, torch.Tensor]
    sorted_estimates: SortedEstimates

    @classmethod
    def from_stock(cls, model: ESPnetEnhancementModel) -> LengthAwareEnhancementModel:
        """Turn a model built by ESPnet's task into this class, in place.

        Args:
            model: What EnhancementTask.build_model() returned.

        Returns:
            The same object, now of this class.
        """
        # ESPnet's task names its model class in the middle of build_model(); a change of class keeps the
        # modules, their names and so every checkpoint as they are.
        model.__class__ = cls
        for wrapper in model.loss_wrappers or []:
            if not isinstance(wrapper, InheritPermutation):
                wrapper.criterion = adapt(wrapper.criterion, model.encoder)
        model.last_stats = {}
        model.sorted_estimates = SortedEstimates()
        return model

    def forward_enhance(self, speech_mix, speech_lengths, additional=None, fs=None):
        """Enhance a padded batch; the estimates are zero behind each utterance's end.

        `normalize_variance` is honoured here, over each utterance's own samples: ESPnet does so in the training of a
        front-end alone, over the padding too, and neither in joint training nor in recognition. Normalising twice
        changes nothing.
        """
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
        return level(speech_mix, speech_lengths, per_channel=self.normalize_variance_per_ch)

    def forward_loss(self, speech_pre, speech_lengths, feature_mix, feature_pre, others, speech_ref, *args, **kwargs):
        """Compute the criteria, with `others["speech_lengths"]` for wrappers that can use it.

        The statistics of every criterion are kept in `last_stats`, since ESPnet's joint model asks for the
        sum alone.
        """
        for wrapper in self.loss_wrappers:
            if isinstance(wrapper.criterion, (PerUtterance, PerUtteranceMask)):
                wrapper.criterion.lengths = speech_lengths
        self.sorted_estimates = SortedEstimates()
        speech_ref = [mask_padding(reference, speech_lengths) for reference in speech_ref]
        loss, stats, weight, perm = super().forward_loss(
            speech_pre,
            speech_lengths,
            feature_mix,
            feature_pre,
            {**others, "speech_lengths": speech_lengths, "sorted_estimates": self.sorted_estimates},
            speech_ref,
            *args,
            **kwargs,
        )
        self.last_stats = {name: value for name, value in stats.items() if name != "loss"}
        return loss, stats, weight, perm
