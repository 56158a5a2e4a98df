"""An archive gives the same tables again; several of them are joined, published, and say when they are broken."""

import dataclasses
import itertools
import json
import lzma
import math
import re

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.cost import cost_table
from espnet_plugins.analysis.comparison.curves import Curve
from espnet_plugins.analysis.comparison.plots import curve_fingerprint, save_curves
from espnet_plugins.analysis.report.archive import read_archive, write_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.names import split_seed
from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore, group_seeds
from pages.publication import experiment_page, main_systems, read_archives, results_document, with_table
from pages.studies import OPTIONS, Study

SETTINGS = {
    "ssl_mse_joint": {"enh_criterions": [{"name": "ssl_mse", "conf": {}}], "lr": 0.001},
    "ssl_soft_dtw_joint": {"enh_criterions": [{"name": "ssl_soft_dtw", "conf": {}}], "lr": 0.001},
}


@pytest.fixture
def content(scores, curves, costs):
    """A content in which a hypothesis is missing, and quality was measured on one utterance and failed on another."""
    noisy = scores["noisy"]["test_seen"]
    first, second, third, *_ = noisy.utterances
    utterances = dict(noisy.utterances)
    utterances[first] = dataclasses.replace(utterances[first], quality={"pesq": 2.5, "si_sdr": float("inf")})
    missing = dataclasses.replace(scores["noisy"]["test_seen"].utterances[third], hypothesis=None)
    words = dataclasses.replace(missing.words, correct=0, substitutions=0, insertions=0)
    letters = dataclasses.replace(missing.characters, correct=0, substitutions=0, insertions=0)
    utterances[third] = dataclasses.replace(
        missing,
        words=dataclasses.replace(words, deletions=missing.words.reference),
        characters=dataclasses.replace(letters, deletions=missing.characters.reference),
    )
    changed = SetScore("noisy", "test_seen", utterances, {second: "pesq: no speech"})
    return Content(
        title="Results of preset mini",
        scores={**scores, "noisy": {**scores["noisy"], "test_seen": changed}},
        environment={"command": "./run.sh"},
        curves=curves,
        measure="valid_wer_ctc",
        costs=costs,
        settings=SETTINGS,
        note="A function test.",
    )


def test_what_is_read_gives_the_same_text(tmp_path, content):
    write_archive(content, tmp_path / "mini.json.xz")
    again = read_archive(tmp_path / "mini.json.xz")
    assert again.scores == content.scores
    assert render_results(again) == render_results(content)
    assert curve_fingerprint(again.curves, again.measure) == curve_fingerprint(content.curves, content.measure)
    write_archive(again, tmp_path / "again.json.xz")
    assert (tmp_path / "again.json.xz").read_bytes() == (tmp_path / "mini.json.xz").read_bytes()


def test_delays_are_kept_and_older_archives_have_none(tmp_path, content):
    def column(path):
        table = cost_table(read_archive(path).costs)
        return [row[table.header.index("latency (ms)")] for row in table.rows]

    values = itertools.chain([math.nan, 31 / 16000], itertools.repeat(math.inf))
    delays = {name: next(values) for name in group_seeds(content.costs)}
    costs = {
        name: dataclasses.replace(cost, delay_seconds=delays[split_seed(name)[0]])
        for name, cost in content.costs.items()
    }
    path = tmp_path / "mini.json.xz"
    write_archive(dataclasses.replace(content, costs=costs), path)
    assert column(path) == ["-", "1.9", *["whole utterance"] * (len(delays) - 2)]
    stored = json.loads(lzma.decompress(path.read_bytes()))
    for cost in stored["costs"].values():
        del cost["delay_seconds"]
    path.write_bytes(lzma.compress(json.dumps(stored).encode()))
    assert column(path) == ["-"] * len(delays)


def test_phone_errors_stand_beside_word_errors(tmp_path, content):
    both = dataclasses.replace(content, heads={"pr": content.scores})
    for name in ("paper_mini", "digits_fold1", "digits_fold2"):
        write_archive(both, tmp_path / f"{name}.json.xz")
    contents = read_archives(tmp_path)
    assert list(contents) == ["digits", "paper_mini"]
    for name, found in contents.items():
        assert found.heads["pr"] == found.scores, name
        header, *rows = re.findall(r"^\|.*$", render_results(found).split("## Words and phones")[1], flags=re.MULTILINE)
        assert header.startswith("|system|test_seen WER|test_seen PER|")
        noisy = next(row for row in rows if row.startswith("|noisy")).split("|")[2:-1]
        assert noisy[::2] == noisy[1::2], "the same scores, as words and as phones"
    assert "Words and phones" not in render_results(content)
    write_archive(content, tmp_path / "digits_fold2.json.xz")
    with pytest.raises(ScoreError, match="digits_fold2 has other systems, test sets or recognizers than digits_fold1"):
        read_archives(tmp_path)


@pytest.mark.parametrize("broken", [b"", b"text", None])
def test_a_broken_archive_is_named(tmp_path, broken):
    path = tmp_path / "mini.json.xz"
    if broken is not None:
        path.write_bytes(broken)
    with pytest.raises(ScoreError, match=r"mini\.json\.xz"):
        read_archive(path)


def test_settings_that_differ_are_printed(content):
    rows = content.setting_differences.rows
    assert rows == [["SSL-MSE + ASR loss", "enh_criterions.0.name", "ssl_mse", "ssl_soft_dtw"]]
    assert "|enh_criterions.0.name|ssl_mse|ssl_soft_dtw|" in render_results(content)


def test_speakers_in_turn_are_one_experiment(tmp_path, content):
    for name in ("mini", "paper", "paper_mini", "digits_fold1", "digits_fold2"):
        write_archive(content, tmp_path / f"{name}.json.xz")
    contents = read_archives(tmp_path)
    assert list(contents) == ["digits", "mini", "paper", "paper_mini"]
    joined = contents["digits"]
    one, both = (c.scores["noisy"]["test_seen"] for c in (content, joined))
    assert len(both.utterances) == 2 * len(one.utterances)
    assert both.total("words") == one.total("words") + one.total("words")
    assert len(both.missing) == 2
    assert len(both.unscorable) == 2
    curve = joined.curves["ssl_mse_joint"]
    assert curve.values.shape == (4, 3)
    assert curve.mean == pytest.approx(content.curves["ssl_mse_joint"].mean)
    assert joined.costs.keys() == content.costs.keys()
    for name, cost in content.costs.items():
        assert dataclasses.astuple(joined.costs[name]) == pytest.approx(dataclasses.astuple(cost), nan_ok=True)


def test_speakers_whose_systems_differ_are_not_joined(tmp_path, content):
    write_archive(content, tmp_path / "digits_fold1.json.xz")
    fewer = {name: sets for name, sets in content.scores.items() if name != "se"}
    write_archive(dataclasses.replace(content, scores=fewer), tmp_path / "digits_fold2.json.xz")
    with pytest.raises(ScoreError, match="digits_fold2 has other systems, test sets or recognizers than digits_fold1"):
        read_archives(tmp_path)


def test_an_experiment_beside_its_folds_is_refused(tmp_path, content):
    for name in ("digits", "digits_fold1"):
        write_archive(content, tmp_path / f"{name}.json.xz")
    with pytest.raises(ScoreError, match=r"digits\.json\.xz stands beside its folds"):
        read_archives(tmp_path)


def test_the_document_has_one_table_and_three_sentences_for_each_experiment(content):
    text = results_document("# Results\n\nIt helps.\n", "", {"mini": content}, {})
    assert text.startswith("# Results\n\nIt helps.\n\n## `mini`\n")
    assert content.rates.markdown() in text
    assert text.count("\n|system|") == 1
    sentences = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.split()[1] for line in sentences] == ["**Does", "Convergence:", "Cost:"]
    assert content.environment["command"] in text
    assert "(results/mini.md)" in text
    assert not re.search(r"^# (?!Results$)", text, flags=re.MULTILINE)


def test_the_page_of_an_experiment_is_its_report_with_remarks(content):
    page = experiment_page("mini", content, "- It helps.\n")
    report = render_results(
        content, picture="../docs/images/mini_curves.png", probe_picture="../docs/images/mini_probe.png"
    )
    assert page == report.replace(f"# {content.title}\n", f"# {content.title}\n\n## Remarks\n\n- It helps.\n", 1)
    assert "Remarks" not in experiment_page("mini", content, "")


def test_a_study_stands_where_its_mark_is(content):
    curve = Curve(np.array([40, 80]), np.array([[30.0, 10.0]]), np.zeros(2))
    environment = {"date": "2026", "git commit": "abc", "machine": "two cores", "command": "study.py"}
    study = Study(OPTIONS, environment, {"ssl_mse": curve})
    studied = "## Why\n\nWhy:\n\n<!-- study why -->\n\nSo."
    text = results_document("# Results", studied, {"mini": content}, {"why": study})
    assert "Why:\n\n|variant|" in text
    assert text.endswith("|ssl_mse|10.0|10.0|20.0|\n\n2026, commit abc, two cores: `study.py`\n\nSo.\n")
    for studies in ({}, {"why": study, "other": study}):
        with pytest.raises(ScoreError, match=r"marks `<!-- study NAME -->` and studies differ in: (why|other)$"):
            results_document("# Results", studied, {"mini": content}, studies)


def test_a_short_table_has_the_main_systems(content):
    some = next(iter(content.scores.values()))
    names = [
        "clean",
        "noisy",
        "ssl_mse_joint_seed0",
        "ssl_soft_dtw_layers_joint_seed0",
        "mimic_se_seed1",
        "si_snr_se_seed1",
    ]
    chosen = main_systems(dict.fromkeys(names, some))
    assert list(chosen) == ["clean", "noisy", "ssl_mse_joint_seed0", "si_snr_se_seed1"]


def test_the_table_of_a_page_is_replaced_and_nothing_else(content):
    page = "before\n<!-- table mini -->\nold\n<!-- end of table -->\nafter \\1\n"
    changed = with_table(page, "mini", content)
    assert changed.startswith("before\n<!-- table mini -->\n```\nWord error rate (%)\n")
    assert changed.endswith("```\n<!-- end of table -->\nafter \\1\n")
    assert "old" not in changed
    assert with_table(changed, "mini", content) == changed
    with pytest.raises(ScoreError, match="must stand in the page once"):
        with_table(page, "digits", content)


def test_a_picture_says_what_it_was_drawn_from(tmp_path, content):
    from PIL import Image

    save_curves(content.curves, content.measure, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.info["Description"] == curve_fingerprint(content.curves, content.measure)
    moved = {**content.curves}
    moved["ssl_mse_joint"] = dataclasses.replace(moved["ssl_mse_joint"], values=np.zeros((2, 3)))
    assert curve_fingerprint(moved, content.measure) != curve_fingerprint(content.curves, content.measure)
