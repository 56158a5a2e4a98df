"""A loss wrapper that inherits the permutation of speakers and passes lengths on."""

from __future__ import annotations

import torch
from espnet2.enh.loss.criterions.abs_loss import AbsEnhLoss
from espnet2.enh.loss.wrappers.abs_wrapper import AbsLossWrapper


class InheritPermutation(AbsLossWrapper):
    """Call a criterion once for all speakers, in the order that an earlier wrapper found.

    With several speakers, put a permutation-solving wrapper (SI-SNR under `pit`, weight 0 if it shall only
    sort) before this one. The criterion's forward takes `lengths`.

    Args:
        criterion: A criterion with forward(ref, inf, lengths) -> (B,).
        weight: Factor of its loss in the sum.
    """

    def __init__(self, criterion: AbsEnhLoss, weight: float = 1.0):
        super().__init__()
        self.criterion = criterion
        self.weight = weight

    def forward(self, ref, inf, others):
        """Compute the loss over all speakers in one batch.

        Args:
            ref: n_spk references, each (B, T).
            inf: n_spk estimates, each (B, T).
            others: Holds "speech_lengths" (B,) and, after a permutation solver, "perm" (B, n_spk).

        Returns:
            The mean loss, the statistics to log, and the permutation used.

        Raises:
            ValueError: With several speakers and no permutation.
        """
        n_speakers, n_utterances = len(ref), len(ref[0])
        perm = others.get("perm")
        if n_speakers == 1:
            reference, estimate = ref[0], inf[0]
        else:
            if perm is None:
                raise ValueError(
                    f"criterion {self.criterion.name}: with {n_speakers} speakers, a permutation solver must "
                    "come first, e.g. {name: si_snr, wrapper: pit, wrapper_conf: {weight: 0.0}}"
                )
            stacked = torch.stack(list(inf), dim=1)
            rows = torch.arange(n_utterances, device=stacked.device)[:, None]
            estimate = stacked[rows, perm.to(stacked.device)].transpose(0, 1).flatten(0, 1)
            reference = torch.cat(list(ref))
        lengths = others.get("speech_lengths")
        losses = self.criterion(reference, estimate, lengths=None if lengths is None else lengths.repeat(n_speakers))
        loss = losses.mean()
        stats = {name: value.detach().mean() for name, value in getattr(self.criterion, "stats", {}).items()}
        stats[self.criterion.name] = loss.detach()
        if perm is None:
            perm = torch.arange(n_speakers, device=reference.device).expand(n_utterances, n_speakers)
        return loss, stats, {"perm": perm}
