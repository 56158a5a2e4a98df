"""Word errors of greedy CTC during training, beside ESPnet's character errors."""

from __future__ import annotations

from itertools import groupby

import editdistance
from espnet.nets.e2e_asr_common import ErrorCalculator


class CTCWordErrors(ErrorCalculator):
    """ESPnet's error calculator, which also keeps the word error rate of the last CTC batch.

    Pieces of sentencepiece mark a word's start with U+2581; other token lists have a space symbol.
    """

    wer_ctc: float | None = None

    @classmethod
    def from_stock(cls, calculator: ErrorCalculator) -> CTCWordErrors:
        """Build one with the settings of ESPnet's own."""
        return cls(
            calculator.char_list,
            calculator.space,
            calculator.blank,
            report_cer=calculator.report_cer,
            report_wer=calculator.report_wer,
        )

    def calculate_cer_ctc(self, ys_hat, ys_pad):
        """Compute the character error rate, and keep the word error rate in `wer_ctc`."""
        errors = words = 0
        for hypothesis, reference in zip(ys_hat, ys_pad, strict=True):
            ref = self._words(int(token) for token in reference)
            hyp = self._words(int(token) for token, _ in groupby(int(t) for t in hypothesis))
            errors += editdistance.eval(hyp, ref)
            words += len(ref)
        self.wer_ctc = errors / words if words else None
        return super().calculate_cer_ctc(ys_hat, ys_pad)

    def _words(self, tokens) -> list[str]:
        pieces = [self.char_list[t] for t in tokens if t not in (-1, self.idx_blank)]
        return "".join(pieces).replace(self.space, " ").replace("\u2581", " ").split()
