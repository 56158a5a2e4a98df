"""What an objective's file says of it is what tables show; archives carry it along."""

import json
import lzma

import pytest
from places import RECIPE

from espnet_plugins.analysis.report.archive import read_archive, write_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring import names
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import SetScore


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(names, "_objectives", {})


def content(*systems):
    heard = score_transcripts({"u": "a b"}, {"u": "a"}, conditions={"u": ""}, speakers={"u": "s"})
    return Content(
        title="t", scores={name: {"test": SetScore(name, "test", heard)} for name in systems}, environment={}
    )


def test_the_recipe_names_its_objectives_in_the_order_of_its_tables():
    names.declare(names.read_objectives(RECIPE / "conf" / "objectives"))
    systems = [
        "ssl_soft_dtw_pad_se",
        "ssl_mse_se",
        "se",
        "mimic_joint",
        "multi_condition_joint",
        "noisy",
        "asr_only_joint",
    ]
    assert [names.label(system) for system in sorted(systems, key=names.table_order)] == [
        "noisy, no front-end",
        "SE front-end, not fine-tuned",
        "multi-condition ASR, no front-end",
        "ASR loss alone (IRIS)",
        "mimic + ASR loss",
        "SSL-MSE, front-end alone",
        "SSL-SoftDTW-PAD, front-end alone",
    ]
    assert [names.without_front_end(system) for system in systems] == [False] * 4 + [True] + [False] * 2
    assert names.is_subject("ssl_soft_dtw_pad_se")
    assert not names.is_subject("ssl_mse_se")
    assert names.is_baseline("mimic_joint")
    assert not names.is_baseline("ssl_mse_se")


def test_without_a_word_a_system_is_called_by_its_name():
    assert names.label("ssl_mse_joint", 2) == "ssl_mse_joint (2 seeds)"


def test_an_archive_brings_its_labels(tmp_path, monkeypatch):
    names.declare({"mine": names.ObjectiveName("My loss", 35)})
    write_archive(content("noisy", "mine_joint_seed0"), tmp_path / "a.json.xz")
    monkeypatch.setattr(names, "_objectives", {})
    read_archive(tmp_path / "a.json.xz")
    assert names.label("mine_joint") == "My loss + ASR loss"


def test_an_archive_of_before_says_nothing_and_is_read(tmp_path):
    path = tmp_path / "a.json.xz"
    write_archive(content("noisy", "mine_joint_seed0"), path)
    stored = json.loads(lzma.decompress(path.read_bytes()))
    del stored["objectives"]
    path.write_bytes(lzma.compress(json.dumps(stored).encode()))
    assert list(read_archive(path).scores) == ["noisy", "mine_joint_seed0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enh_criterions: []", r"mine\.yaml: say `objective: "),
        ("objective: {label: a, needs: {}}", r"mine\.yaml: objective: the key order is missing"),
        ("objective: {label: 3, order: 1}", r"mine\.yaml: objective: label: 3 is not accepted"),
        ("objective: {label: a, order: first}", r"mine\.yaml: objective: order: 'first' is not accepted"),
        ("objective: {label: a, order: 1, basline: true}", r"mine\.yaml: objective: unknown key basline; accepted"),
        ("objective: {label: [", r"mine\.yaml is not valid YAML"),
        ("objective: {label: 2020-99-99}", r"mine\.yaml is not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        names.read_objectives(tmp_path)
