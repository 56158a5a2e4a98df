"""The paper's table: two recognizers side by side."""

import pytest

from espnet_plugins.analysis.comparison.paper_table import paper_table
from espnet_plugins.analysis.scoring.scores import ScoreError


def test_words_and_phones_of_every_set_side_by_side(scores):
    phones = {system: dict(sets) for system, sets in scores.items()}
    phones["noisy"] = {name: scores["clean"][name] for name in scores["clean"]}
    table = paper_table({"asr": scores, "pr": phones})
    assert table.header == ["system", "test_seen WER", "test_seen PER", "test_unseen WER", "test_unseen PER"]
    rows = {row[0]: row[1:] for row in table.rows}
    clean, noisy = rows["clean speech, no front-end"], rows["noisy, no front-end"]
    assert noisy[1::2] == clean[1::2]
    assert noisy[0::2] != clean[0::2]
    rates = [scores[f"ssl_mse_joint_seed{k}"]["test_seen"].total("words").rate for k in (0, 1)]
    mean = sum(rates) / 2
    spread = abs(rates[0] - rates[1]) / 2**0.5
    assert rows["SSL-MSE + ASR loss (2 seeds)"][0] == f"{mean:.1f} ± {spread:.1f}"


def test_scores_of_other_systems(scores):
    fewer = {system: sets for system, sets in scores.items() if system != "se"}
    with pytest.raises(ScoreError, match="'pr' are of other systems"):
        paper_table({"asr": scores, "pr": fewer})
