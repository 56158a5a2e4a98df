"""A loss wrapper that inherits the permutation of speakers and passes lengths on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from espnet2.enh.loss.criterions.abs_loss import AbsEnhLoss
from espnet2.enh.loss.wrappers.abs_wrapper import AbsLossWrapper

from espnet_plugins.checks import check_keys, check_number


class SortedEstimates:
    """The estimates of all speakers in one batch, in the references' order; the same tensor for everybody who asks.

    One tensor means one upstream pass (`espnet_plugins.ssl.share_passes`) for all criteria and the recognizer.

    Example:
        >>> estimates = [torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])]
        >>> SortedEstimates()(estimates, torch.tensor([[0, 1], [1, 0]])).flatten().tolist()
        [1.0, 4.0, 3.0, 2.0]
    """

    def __init__(self) -> None:
        self._made: tuple[tuple, torch.Tensor, object] | None = None

    def __call__(self, estimates: Sequence[torch.Tensor], perm: torch.Tensor | None) -> torch.Tensor:
        """Sort and join.

        Args:
            estimates: n_spk estimates, each (B, T).
            perm: (B, n_spk): which estimate belongs to each reference; may be None for one speaker.

        Returns:
            (n_spk * B, T), speaker by speaker. A single speaker's estimate itself: its memory identifies the pass.
        """
        if len(estimates) == 1 or perm is None:
            return estimates[0] if len(estimates) == 1 else torch.cat(list(estimates))
        key = (tuple(map(id, estimates)), tuple(perm.flatten().tolist()), torch.is_grad_enabled())
        if self._made is None or self._made[0] != key:
            stacked = torch.stack(list(estimates), dim=1)
            rows = torch.arange(len(stacked), device=stacked.device)[:, None]
            joined = stacked[rows, perm.to(stacked.device)].transpose(0, 1).flatten(0, 1)
            # The estimates are kept as well, so that their ids stay theirs.
            self._made = (key, joined, tuple(estimates))
        return self._made[1]


class InheritPermutation(AbsLossWrapper):
    """Call a criterion once for all speakers, in the order that an earlier wrapper found.

    With several speakers, put a permutation-solving wrapper (SI-SNR under `pit`, weight 0 if it shall only
    sort) before this one. The criterion's forward takes `lengths`.

    Args:
        criterion: A criterion with forward(ref, inf, lengths) -> (B,).
        weight: Factor of its loss in the sum.

    Raises:
        ValueError: For an unknown option or a negative weight.
    """

    def __init__(self, criterion: AbsEnhLoss, weight: float = 1.0, **unknown):
        super().__init__()
        check_keys("inherit_permutation: wrapper_conf", unknown, ("weight",))
        self.criterion = criterion
        self.weight = check_number("inherit_permutation: wrapper_conf: weight", weight, low=0)

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
        if n_speakers > 1 and perm is None:
            raise ValueError(
                f"criterion {self.criterion.name}: with {n_speakers} speakers, a permutation solver must "
                "come first, e.g. {name: si_snr, wrapper: pit, wrapper_conf: {weight: 0.0}}"
            )
        estimate = others.get("sorted_estimates", SortedEstimates())(inf, perm)
        reference = ref[0] if n_speakers == 1 else torch.cat(list(ref))
        lengths = others.get("speech_lengths")
        losses = self.criterion(reference, estimate, lengths=None if lengths is None else lengths.repeat(n_speakers))
        loss = losses.mean()
        stats = {name: value.detach().mean() for name, value in getattr(self.criterion, "stats", {}).items()}
        stats[self.criterion.name] = loss.detach()
        if perm is None:
            perm = torch.arange(n_speakers, device=reference.device).expand(n_utterances, n_speakers)
        return loss, stats, {"perm": perm}
