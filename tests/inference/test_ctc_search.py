"""CTC beam search over several utterances: against every path, and against ESPnet's search."""

import itertools
import math
from collections import defaultdict

import pytest
import torch
from espnet2.bin import asr_inference

from espnet_plugins.inference.ctc_search import CTCSearch


def posteriors(frames, tokens, *, utterances=1, sharpness=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = sharpness * torch.randn(utterances, frames, tokens, generator=generator)
    scores[:, :, 0] += sharpness
    return scores.log_softmax(-1)


def test_scores_are_sums_over_all_paths():
    log_probs = posteriors(5, 4, sharpness=1.0)
    probability = defaultdict(float)
    for path in itertools.product(range(4), repeat=5):
        labels = tuple(token for token, _ in itertools.groupby(path) if token != 0)
        probability[labels] += math.exp(sum(log_probs[0, t, token].item() for t, token in enumerate(path)))
    found = CTCSearch(beam_size=3, sos=3, eos=3)(log_probs, torch.tensor([5]))[0]
    # But those that were ended since they are as long as they may be.
    found = [one for one in found if len(one.yseq) < 7]
    assert len({len(one.yseq) for one in found}) > 2
    for one in found:
        assert one.score == pytest.approx(math.log(probability[tuple(one.yseq[1:-1])]), abs=1e-5)
    assert found[0].score == max(one.score for one in found)


class Given(torch.nn.Module):
    """ESPnet's CTC module, for frames that are log probabilities."""

    def log_softmax(self, frames):
        return frames.clone()


def espnets(log_probs, *, beam_size, weight, normalize_length, **ratios):
    last = log_probs.shape[1] - 1
    search = asr_inference.BatchBeamSearch(
        scorers={"ctc": asr_inference.CTCPrefixScorer(ctc=Given(), eos=last)},
        weights={"ctc": weight},
        beam_size=beam_size,
        vocab_size=last + 1,
        sos=last,
        eos=last,
        normalize_length=normalize_length,
    )
    return [(one.yseq.tolist(), float(one.score)) for one in search(log_probs, **ratios)]


@pytest.mark.parametrize(
    ("frames", "tokens", "options"),
    [
        (40, 60, {"beam_size": 3}),
        (25, 12, {"beam_size": 5, "weight": 0.4, "maxlenratio": 0.3}),
        (25, 12, {"beam_size": 4, "minlenratio": 0.2, "normalize_length": True}),
        (12, 8, {"beam_size": 1, "maxlenratio": -4}),
        (3, 6, {"beam_size": 3}),
    ],
)
def test_hypotheses_are_espnets(frames, tokens, options):
    options = {"weight": 1.0, "normalize_length": False, **options}
    log_probs = posteriors(frames, tokens, utterances=5)
    lengths = [frames, frames, max(1, frames // 2), frames - 1, 1]
    garbage = log_probs.clone()
    for row, n in enumerate(lengths):
        garbage[row, n:] = torch.nan
    last = tokens - 1
    found = CTCSearch(sos=last, eos=last, **options)(garbage, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        # Hypotheses that no path leads to are in no order.
        expected = [one for one in espnets(log_probs[row, :n], **options) if one[1] > -1e9]
        ours = [one for one in found[row] if one.score > -1e9]
        assert [one.yseq for one in ours] == [yseq for yseq, _ in expected]
        assert [one.score for one in ours] == pytest.approx([score for _, score in expected], rel=1e-4, abs=1e-4)


def test_what_cannot_be_searched():
    log_probs = posteriors(4, 5, utterances=2)
    search = CTCSearch(beam_size=3, sos=4, eos=4)
    with pytest.raises(ValueError, match="utterance 1 of the batch has no frame"):
        search(log_probs, torch.tensor([4, 0]))
    log_probs[0, 2, 1] = torch.nan
    with pytest.raises(ValueError, match="utterance 0 of the batch has log probabilities that are no numbers"):
        search(log_probs, torch.tensor([4, 4]))
    with pytest.raises(ValueError, match="beam_size is 6, but there are 5 tokens"):
        CTCSearch(beam_size=6, sos=4, eos=4)(log_probs, torch.tensor([4, 4]))
