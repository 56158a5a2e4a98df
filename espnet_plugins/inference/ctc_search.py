"""CTC prefix beam search over many utterances at once, with the hypotheses of ESPnet's search over one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from espnet_plugins.compat import end_detect

BLANK = 0
# As ESPnet's logarithm of zero: sums of a few of them stay finite.
_NEVER = -1e10
# No frame's log probability is taken for less: differences of their sums keep their digits.
_LEAST = -1e5
# Numbers in the largest tensor of one search: utterances x frames x tokens.
_SEARCHED = 4_000_000


@dataclasses.dataclass
class Found:
    """A hypothesis that has ended.

    Args:
        yseq: Its tokens, from the start symbol to the end symbol.
        score: Logarithm of its probability times the weight of CTC.
    """

    yseq: list[int]
    score: float


@dataclasses.dataclass
class _Utterance:
    """An utterance under way: its place in the batch, its limits, what ended and what still runs, best first."""

    row: int
    maxlen: int
    minlen: int
    ended: list[Found] = dataclasses.field(default_factory=list)
    running: list[list[int]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class _Prefixes:
    """The running prefixes of each utterance, (U, K), and their log probabilities at each frame, (U, K, T).

    Args:
        alive: Which are prefixes, and not empty places.
        label: The prefix up to frame t, which is of its last label.
        blank: The prefix up to frame t, which is blank.
        last: Its last label.
    """

    alive: torch.Tensor
    label: torch.Tensor
    blank: torch.Tensor
    last: torch.Tensor

    def rows(self, index: torch.Tensor) -> _Prefixes:
        """Those of some utterances."""
        return _Prefixes(self.alive[index], self.label[index], self.blank[index], self.last[index])


class CTCSearch:
    """Beam search over CTC alone, label by label, as ESPnet's BatchBeamSearch with CTCPrefixScoreTH as its one scorer.

    ESPnet follows every continuation of a prefix through all frames, of one utterance. Here the probability of all
    continuations is one product of matrices, only the prefixes that are kept are followed, by a cumulative sum, and
    utterances go together, in float64.

    Args:
        beam_size: Hypotheses.
        sos: Start symbol.
        eos: End symbol.
        weight: Of CTC.
        maxlenratio: As ESPnet's: tokens per frame at most; 0: until no better end is to be expected; below 0: tokens.
        minlenratio: As ESPnet's.
        normalize_length: Rank by the score per token.

    Example:
        >>> log_probs = torch.tensor([[[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]]).log()
        >>> CTCSearch(beam_size=2, sos=2, eos=2)(log_probs, torch.tensor([3]))[0][0].yseq
        [2, 1, 2]

    Source:
        Watanabe et al., "Hybrid CTC/attention architecture for end-to-end speech recognition", JSTSP 2017, algorithm 2.
    """

    def __init__(
        self,
        *,
        beam_size: int,
        sos: int,
        eos: int,
        weight: float = 1.0,
        maxlenratio: float = 0.0,
        minlenratio: float = 0.0,
        normalize_length: bool = False,
    ):
        self.beam_size, self.sos, self.eos, self.weight = beam_size, sos, eos, weight
        self.maxlenratio, self.minlenratio, self.normalize_length = maxlenratio, minlenratio, normalize_length

    @torch.no_grad()
    def __call__(self, log_probs: torch.Tensor, lengths: torch.Tensor) -> list[list[Found]]:
        """Search.

        Args:
            log_probs: (B, T, V) of every frame and token; what is behind an utterance's end plays no part.
            lengths: (B,) in frames.

        Returns:
            The hypotheses of each utterance that ended, best first; none where all are shorter than minlenratio asks.

        Raises:
            ValueError: For fewer tokens than hypotheses, no frame, or a log probability that is no number.
        """
        if self.beam_size > log_probs.shape[2]:
            raise ValueError(f"beam_size is {self.beam_size}, but there are {log_probs.shape[2]} tokens")
        counts = lengths.tolist()
        for row, n in enumerate(counts):
            if n < 1:
                raise ValueError(f"utterance {row} of the batch has no frame")
            if torch.isnan(log_probs[row, :n]).any():
                raise ValueError(f"utterance {row} of the batch has log probabilities that are no numbers")
        found: list[list[Found]] = []
        share = max(1, _SEARCHED // (log_probs.shape[1] * log_probs.shape[2]))
        for start in range(0, len(counts), share):
            some = counts[start : start + share]
            found += self._search(log_probs[start : start + share, : max(some)].cpu().double(), some)
        return found

    def _search(self, x: torch.Tensor, counts: Sequence[int]) -> list[list[Found]]:
        valid = torch.arange(x.shape[1]) < torch.tensor(counts)[:, None]
        x = torch.where(valid[..., None], x.clamp(min=_LEAST), 0.0)
        # Nothing is emitted behind the end.
        probs = torch.where(valid[..., None], x.exp(), 0.0)
        utterances = [_Utterance(row, *self._limits(n), running=[[self.sos]]) for row, n in enumerate(counts)]
        prefixes = self._start(x, valid)
        active = utterances
        for step in range(max(utterance.maxlen for utterance in utterances)):
            rows = torch.tensor([utterance.row for utterance in active])
            extended = self._extend(prefixes, x[rows], probs[rows], valid[rows], step)
            best, which = extended.flatten(1).topk(self.beam_size)
            before, token = which // x.shape[2], which % x.shape[2]
            goes_on = self._sort_out(active, best.tolist(), before.tolist(), token.tolist(), step)
            prefixes = self._follow(prefixes, x[rows], goes_on, before, token, step)
            left = torch.tensor([bool(utterance.running) for utterance in active])
            if not left.any():
                break
            if not left.all():
                prefixes = prefixes.rows(left)
                active = [utterance for utterance in active if utterance.running]
        return [self._ranked(utterance.ended) for utterance in utterances]

    def _limits(self, frames: int) -> tuple[int, int]:
        """Tokens of the longest and the shortest hypothesis."""
        longest, shortest = self.maxlenratio, self.minlenratio
        at_most = frames if longest == 0 else -int(longest) if longest < 0 else max(1, int(longest * frames))
        return at_most, -int(shortest) if shortest < 0 else int(shortest * frames)

    def _start(self, x: torch.Tensor, valid: torch.Tensor) -> _Prefixes:
        """The empty prefix of each utterance."""
        shape = (len(x), self.beam_size, x.shape[1])
        alive = torch.zeros(shape[:2], dtype=torch.bool)
        alive[:, 0] = True
        label = torch.full(shape, _NEVER, dtype=x.dtype)
        blank = label.clone()
        blank[:, 0] = x[:, :, BLANK].cumsum(1)
        return _Prefixes(alive, label, blank, torch.full(shape[:2], self.sos))

    def _extend(self, prefixes: _Prefixes, x, probs, valid, step: int) -> torch.Tensor:
        """Weighted log probability of each prefix with each token behind it, (U, K, V)."""
        ready = torch.logaddexp(prefixes.label, prefixes.blank)
        # Scaled by the likeliest frame, so that nothing that counts becomes zero.
        masked = torch.where(valid[:, None], ready, _NEVER)[:, :, :-1]
        scale = masked.amax(2, keepdim=True) if masked.shape[2] else ready.new_zeros((*ready.shape[:2], 1))
        total = torch.bmm((masked - scale).exp(), probs[:, 1:]).log() + scale
        # The last label once more needs a blank between.
        again = _emissions(x, prefixes.last)[:, :, 1:] + prefixes.blank[:, :, :-1]
        again = torch.where(valid[:, None, 1:], again, _NEVER).logsumexp(2, keepdim=True)
        total = total.scatter(2, prefixes.last[..., None], again.clamp(min=_NEVER))
        if step == 0:
            total = torch.logaddexp(total, x[:, :1])
        end = valid.sum(1)[:, None, None] - 1
        total[:, :, self.eos] = ready.gather(2, end.expand(-1, ready.shape[1], 1))[..., 0]
        if self.eos != BLANK:
            total[:, :, BLANK] = _NEVER
        total = self.weight * total.clamp(min=_NEVER)
        return torch.where(prefixes.alive[..., None], total, -torch.inf)

    def _sort_out(self, active: Sequence[_Utterance], best, before, token, step: int) -> torch.Tensor:
        """Note the kept hypotheses, those that end apart; says which go on, (U, K)."""
        goes_on = torch.zeros((len(active), self.beam_size), dtype=torch.bool)
        for place, utterance in enumerate(active):
            kept = [
                (rank, Found([*utterance.running[before[place][rank]], token[place][rank]], score))
                for rank, score in enumerate(best[place])
                if score != -torch.inf
            ]
            if step == utterance.maxlen - 1:
                # ESPnet's search, too, puts the end symbol behind every one, even a second.
                kept = [(rank, Found([*one.yseq, self.eos], one.score)) for rank, one in kept]
            running: dict[int, list[int]] = {}
            for rank, one in kept:
                if one.yseq[-1] != self.eos:
                    running[rank] = one.yseq
                elif step >= utterance.minlen:
                    utterance.ended.append(one)
            over = self.maxlenratio == 0 and end_detect([vars(one) for one in utterance.ended], step)
            utterance.running = [] if over or not running else [running.get(rank, []) for rank in range(self.beam_size)]
            for rank in running:
                goes_on[place, rank] = True
        return goes_on

    def _follow(self, prefixes: _Prefixes, x, alive, before, token, step: int) -> _Prefixes:
        """The kept prefixes, their last labels emitted at each frame."""
        index = before[..., None].expand(-1, -1, x.shape[1])
        label, blank = prefixes.label.gather(1, index), prefixes.blank.gather(1, index)
        repeated = token == prefixes.last.gather(1, before)
        ready = torch.where(repeated[..., None], blank, torch.logaddexp(label, blank))
        emitted = _emissions(x, token)
        first = torch.full_like(emitted[:, :, :1], 0.0 if step == 0 else _NEVER)
        label = _accumulate(emitted, torch.cat([first, ready[:, :, :-1]], dim=2))
        never = torch.full_like(first, _NEVER)
        silent = x[:, None, :, BLANK].expand_as(label)
        blank = _accumulate(silent, torch.cat([never, label[:, :, :-1]], dim=2))
        return _Prefixes(alive, label, blank, token)

    def _ranked(self, ended: Sequence[Found]) -> list[Found]:
        def worth(one: Found) -> float:
            return one.score / (len(one.yseq) - 1) if self.normalize_length else one.score

        return sorted(ended, key=worth, reverse=True)


def _emissions(x: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Log probability of each prefix' token at each frame, (U, K, T)."""
    return x.transpose(1, 2).gather(1, token[..., None].expand(-1, -1, x.shape[1]))


def _accumulate(emitted: torch.Tensor, entered: torch.Tensor) -> torch.Tensor:
    """Log probability of being in a state at frame t, entered at any frame up to t and left at none since.

    The recursion s[t] = log(exp(s[t-1]) + exp(entered[t])) + emitted[t] without a loop.

    Args:
        emitted: (..., T) log probability of the state's token.
        entered: (..., T) log probability of coming in with frame t.

    Example:
        >>> emitted, entered = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.25]).log()
        >>> _accumulate(emitted, entered).exp().tolist()
        [0.5, 0.375]
    """
    so_far = emitted.cumsum(-1)
    return so_far + torch.logcumsumexp(entered - (so_far - emitted), dim=-1)
