"""ESPnet's own criteria, each utterance at its own length.

ESPnet hands criteria a padded batch and no lengths; SI-SNR, spectral distances and the like would count the padding.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

import torch
from espnet2.enh.loss.criterions.abs_loss import AbsEnhLoss
from espnet2.enh.loss.criterions.tf_domain import FrequencyDomainDPCL, FrequencyDomainLoss
from espnet2.enh.loss.criterions.time_domain import TimeDomainLoss

from espnet_plugins.enh.unpadded import count_frames


class PerUtterance(TimeDomainLoss):
    """A criterion computed on each utterance's waveform, cut to its own length.

    A spectral criterion transforms the utterance that was cut out, so that its last frames, too, are those which it
    has alone.

    Args:
        criterion: The criterion to adapt: of the time domain, or of the frequency domain and computed on spectra.
            Its name is kept, so that logs and model selection are too.
        encoder: The front-end's encoder, which makes the spectra; None for the time domain.
    """

    def __init__(self, criterion: AbsEnhLoss, encoder: torch.nn.Module | None = None):
        super().__init__(
            criterion.name,
            only_for_test=criterion.only_for_test,
            is_noise_loss=getattr(criterion, "is_noise_loss", False),
            is_dereverb_loss=getattr(criterion, "is_dereverb_loss", False),
        )
        self.criterion = criterion
        # A tuple, so that the encoder is no submodule of this one.
        self._encoder = (encoder,)
        self.lengths: torch.Tensor | None = None

    def forward(self, ref: torch.Tensor, inf: torch.Tensor) -> torch.Tensor:
        """Compute the criterion per utterance.

        Args:
            ref: (B, T) references.
            inf: (B, T) estimates.

        Returns:
            (B,) losses. Where the criterion is defined for some rows only (a silent estimate has no SI-SNR), the
            others are 0, and these are scaled so that the mean over all rows is theirs.

        Raises:
            ValueError: When called utterance by utterance, so that it is not known which length is meant.
        """
        values = self._values(ref, inf, self.lengths)
        undefined = ~values.detach().isfinite() & _is_finite(ref) & _is_finite(inf)
        if not undefined.any() or undefined.all():
            return values
        logging.warning(
            f"criterion {self.name}: left out {int(undefined.sum())} of {len(ref)} rows, for which it is not defined: "
            "the estimate is silent or equal to the reference"
        )
        rows = (~undefined).nonzero().flatten()
        lengths = None if self.lengths is None else self.lengths[rows.to(self.lengths.device)]
        values = self._values(ref[rows], inf[rows], lengths)
        # The wrappers' mean over all rows becomes one over these.
        return values.new_zeros(len(ref)).index_put((rows,), values * (len(ref) / len(rows)))

    def _values(self, ref: torch.Tensor, inf: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        if lengths is None or bool((lengths >= ref.shape[1]).all()):
            return self._compare(ref, inf)
        pairs = _rows(lengths, ref, inf)
        return torch.cat([self._compare(r[None, :n], i[None, :n]) for n, r, i in pairs])

    def _compare(self, ref: torch.Tensor, inf: torch.Tensor) -> torch.Tensor:
        (encoder,) = self._encoder
        if encoder is None:
            return self.criterion(ref, inf)
        lengths = torch.full((len(ref),), ref.shape[1], device=ref.device)
        return self.criterion(encoder(ref, lengths)[0], encoder(inf, lengths)[0])


class PerUtteranceMask(FrequencyDomainLoss):
    """A criterion on masks computed on each utterance's own frames.

    Args:
        criterion: The criterion to adapt; its name is kept.
        frames: Gives the frames of utterances of so many samples.
    """

    def __init__(self, criterion: FrequencyDomainLoss, frames: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__(
            criterion.name,
            only_for_test=criterion.only_for_test,
            is_noise_loss=criterion.is_noise_loss,
            is_dereverb_loss=criterion.is_dereverb_loss,
        )
        self.criterion = criterion
        self.frames = frames
        self.lengths: torch.Tensor | None = None

    @property
    def compute_on_mask(self) -> bool:
        """Yes."""
        return True

    @property
    def mask_type(self) -> str:
        """The criterion's."""
        return self.criterion.mask_type

    def create_mask_label(self, *args, **kwargs):
        """The criterion's masks of the references."""
        return self.criterion.create_mask_label(*args, **kwargs)

    def forward(self, ref, inf) -> torch.Tensor:
        """Compare masks (B, N, F) over each utterance's frames; gives (B,) losses."""
        if self.lengths is None:
            return self.criterion(ref, inf)
        pairs = _rows(self.frames(self.lengths), ref, inf)
        return torch.cat([self.criterion(r[None, :n], i[None, :n]) for n, r, i in pairs])


def _is_finite(waveform: torch.Tensor) -> torch.Tensor:
    return waveform.detach().isfinite().flatten(1).all(1)


def _rows(lengths: torch.Tensor, ref, inf) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    if len(lengths) != len(ref):
        raise ValueError(
            "a wrapper that calls its criterion utterance by utterance (pit with independent_perm: false) has no "
            "lengths: use the wrapper inherit_permutation instead"
        )
    return zip(lengths.tolist(), ref, inf, strict=True)


def adapt(criterion: AbsEnhLoss, encoder: torch.nn.Module) -> AbsEnhLoss:
    """Make one of ESPnet's criteria respect lengths.

    Deep clustering (`dpcl`) is left as it is: it compares pairs of bins of embeddings, which have no length apart.

    Args:
        criterion: A criterion of ESPnet's tables.
        encoder: The front-end's encoder.

    Returns:
        The adapted criterion, or the criterion itself where nothing is to be adapted.
    """
    if isinstance(criterion, (PerUtterance, PerUtteranceMask, FrequencyDomainDPCL)):
        return criterion
    if isinstance(criterion, TimeDomainLoss):
        return PerUtterance(criterion)
    if not isinstance(criterion, FrequencyDomainLoss):
        return criterion
    if not criterion.compute_on_mask:
        return PerUtterance(criterion, encoder)

    return PerUtteranceMask(criterion, partial(count_frames, encoder))
