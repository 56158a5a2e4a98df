"""The enhancement model with lengths: nothing behind an utterance's end reaches a loss."""

from __future__ import annotations

import torch
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.enh.loss.criterions.abs_loss import AbsEnhLoss
from espnet2.enh.loss.criterions.time_domain import TimeDomainLoss

from espnet_plugins.enh.wrappers import InheritPermutation


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


class PerUtterance(TimeDomainLoss):
    """One of ESPnet's time-domain criteria, computed on each utterance cut to its own length.

    ESPnet hands criteria a padded batch and no lengths; SI-SNR and the like would count the padding.

    Args:
        criterion: The criterion to adapt. Its name is kept, so that logs and model selection are too.
    """

    def __init__(self, criterion: TimeDomainLoss):
        super().__init__(
            criterion.name,
            only_for_test=criterion.only_for_test,
            is_noise_loss=criterion.is_noise_loss,
            is_dereverb_loss=criterion.is_dereverb_loss,
        )
        self.criterion = criterion
        self.lengths: torch.Tensor | None = None

    def forward(self, ref: torch.Tensor, inf: torch.Tensor) -> torch.Tensor:
        """Compute the criterion per utterance.

        Args:
            ref: (B, T) references.
            inf: (B, T) estimates.

        Returns:
            (B,) losses.
        """
        lengths = self.lengths
        if lengths is None or bool((lengths >= ref.shape[1]).all()):
            return self.criterion(ref, inf)
        if len(lengths) != len(ref):
            raise ValueError(
                "a wrapper that calls its criterion utterance by utterance (pit with independent_perm: "
                "false) has no lengths: use the wrapper inherit_permutation instead"
            )
        pairs = zip(ref, inf, lengths.tolist(), strict=True)
        return torch.cat([self.criterion(r[None, :n], i[None, :n]) for r, i, n in pairs])


class LengthAwareEnhancementModel(ESPnetEnhancementModel):
    """ESPnet's enhancement model, with each utterance's own length respected by every loss.

    Args:
        As ESPnetEnhancementModel. Built by from_stock() from the one that ESPnet's task makes.
    """

    last_stats: dict[str, torch.Tensor]

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
            wrapper.criterion = cls._adapt(wrapper)
        model.last_stats = {}
        return model

    @staticmethod
    def _adapt(wrapper: torch.nn.Module) -> AbsEnhLoss:
        criterion = wrapper.criterion
        stock = isinstance(criterion, TimeDomainLoss) and not isinstance(wrapper, InheritPermutation)
        return PerUtterance(criterion) if stock and not isinstance(criterion, PerUtterance) else criterion

    def forward_enhance(self, speech_mix, speech_lengths, additional=None, fs=None):
        """Enhance a padded batch; the estimates are zero behind each utterance's end."""
        estimates, feature_mix, feature_pre, others = super().forward_enhance(
            speech_mix, speech_lengths, additional, fs=fs
        )
        if estimates is not None and not isinstance(estimates[0], (list, tuple)):
            estimates = [mask_padding(estimate, speech_lengths) for estimate in estimates]
        return estimates, feature_mix, feature_pre, others

    def forward_loss(self, speech_pre, speech_lengths, feature_mix, feature_pre, others, speech_ref, *args, **kwargs):
        """Compute the criteria, with `others["speech_lengths"]` for wrappers that can use it.

        The statistics of every criterion are kept in `last_stats`, since ESPnet's joint model asks for the
        sum alone.
        """
        for wrapper in self.loss_wrappers:
            if isinstance(wrapper.criterion, PerUtterance):
                wrapper.criterion.lengths = speech_lengths
        speech_ref = [mask_padding(reference, speech_lengths) for reference in speech_ref]
        loss, stats, weight, perm = super().forward_loss(
            speech_pre,
            speech_lengths,
            feature_mix,
            feature_pre,
            {**others, "speech_lengths": speech_lengths},
            speech_ref,
            *args,
            **kwargs,
        )
        self.last_stats = {name: value for name, value in stats.items() if name != "loss"}
        return loss, stats, weight, perm
