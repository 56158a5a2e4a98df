"""Scores and curves with known properties."""

from __future__ import annotations

import numpy as np
import pytest
from places import RECIPE

from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import Curve
from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.probe import Layer, ProbeResult, Shares
from espnet_plugins.analysis.report.alignment import alignment_picture
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.html_report import render_report
from espnet_plugins.analysis.report.listening import Example, make_version
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.names import declare, read_objectives
from espnet_plugins.analysis.scoring.scores import SetScore


@pytest.fixture(autouse=True)
def labels():
    """The recipe's objectives are known, as after a look at its files."""
    declare(read_objectives(RECIPE / "conf" / "objectives"))


WORDS = ("zero", "one", "two", "three", "four", "five")


def random_score(system: str, *, error_rate: float, seed: int, dataset: str = "test", utterances: int = 60):
    """A score whose hypotheses are the references with some words replaced, dropped or doubled."""
    texts = np.random.default_rng(7)
    generator = np.random.default_rng(seed)
    references, hypotheses, conditions, speakers = {}, {}, {}, {}
    for index in range(utterances):
        utt = f"spk{index % 3}_{index:03d}"
        reference = [WORDS[i] for i in texts.integers(len(WORDS), size=texts.integers(3, 7))]
        heard: list[str] = []
        for word in reference:
            if generator.random() >= error_rate:
                heard.append(word)
            else:
                heard += ([], [word, word], ["six"])[generator.integers(3)]
        references[utt], hypotheses[utt] = " ".join(reference), " ".join(heard)
        conditions[utt] = ("babble_2.5dB", "street_music_7.5dB")[index % 2]
        speakers[utt] = f"spk{index % 3}"
    scored = score_transcripts(references, hypotheses, conditions=conditions, speakers=speakers)
    return SetScore(system, dataset, scored)


@pytest.fixture(scope="session")
def scores():
    """Two test sets, references, and two objectives with two seeds each."""
    rates = {
        "clean": 0.02,
        "noisy": 0.5,
        "se": 0.4,
        "ssl_mse_joint_seed0": 0.2,
        "ssl_mse_joint_seed1": 0.22,
        "ssl_soft_dtw_joint_seed0": 0.1,
        "ssl_soft_dtw_joint_seed1": 0.12,
    }
    return {
        system: {
            name: random_score(system, error_rate=rate, seed=10 * index + part, dataset=name)
            for part, name in enumerate(("test_seen", "test_unseen"))
        }
        for index, (system, rate) in enumerate(rates.items())
    }


@pytest.fixture(scope="session")
def curves():
    """Development curves of two objectives, one with two seeds."""
    updates, seconds = np.array([0.0, 50, 100]), np.array([0.0, 20, 40])
    return {
        "ssl_mse_joint": Curve(updates, np.array([[50.0, 40, 20], [50, 44, 24]]), seconds),
        "ssl_soft_dtw_joint": Curve(updates, np.array([[50.0, 20, 18]]), seconds),
    }


@pytest.fixture(scope="session")
def costs(scores):
    """A cost for every system; the seeds of a configuration differ."""
    return {
        name: Cost(updates=100, training_seconds=10 + index, model_bytes=4e6, decoding_factor=0.05)
        for index, name in enumerate(scores)
    }


@pytest.fixture(scope="session")
def probe_result():
    """A probe of two layers."""
    share = Interval(0.1, 0.05, 0.15, 0.0)
    layers = {0: Layer(Shares(share, share)), 1: Layer(Shares(share, share), {"ssl_mse": share})}
    return ProbeResult("tiny", 8, 50, 1.0, 4, 5.0, True, 0, layers)


@pytest.fixture(scope="session")
def example():
    """An utterance in three versions."""
    signal = 0.1 * np.random.default_rng(0).standard_normal(8000)
    versions = [
        make_version("clean speech", signal, 16000),
        make_version("noisy", signal, 16000, reference="one two three", hypothesis="one four <b>"),
        make_version("se", signal, 16000, reference="one two three", hypothesis=""),
    ]
    picture = alignment_picture(np.eye(25, 28))
    return Example("test_seen", "spk0_000", "babble_2.5dB", "one two three", versions, picture, "se")


@pytest.fixture(scope="session")
def page(scores, curves, costs, probe_result, example):
    """The HTML report of all the above."""
    content = Content(
        title="Results of <mini> & more",
        scores=scores,
        environment={"command": "./run.sh --preset '<x>'"},
        curves=curves,
        measure="valid_wer_ctc",
        costs=costs,
        probe=probe_result,
    )
    return render_report(content, examples=[example])
