"""The study of options: its presets differ from the recipe in one option of one criterion, its table says what ran."""

import sys

import numpy as np
import pytest
import yaml

from espnet_plugins.analysis.comparison.curves import Curve
from espnet_plugins.analysis.scoring.scores import ScoreError
from local.common.recipe import load_preset, read_yaml
from pages.studies import Study


@pytest.fixture(scope="module")
def study(load_benchmark):
    return load_benchmark("sensitivity")


def test_a_variant_differs_in_what_its_design_says(study, tmp_path):
    for name, design in yaml.safe_load(study.DESIGN.read_text())["variants"].items():
        path = tmp_path / f"{study.folder_name(name)}.yaml"
        path.write_text(yaml.safe_dump(study.make_preset("mini", design)))
        preset, stock = load_preset(str(path)), load_preset("mini")
        (criterion,) = preset["config"].pop(design["objective"])["enh_criterions"]
        assert {key: value for key, value in preset.items() if value} == {k: v for k, v in stock.items() if v}
        (usual,) = read_yaml(study.RECIPE / "conf" / "objectives" / f"{design['objective']}.yaml")["enh_criterions"]
        assert criterion["conf"] == {**usual["conf"], **design.get("conf", {})}
        assert criterion["wrapper_conf"]["weight"] == design.get("weight", usual["wrapper_conf"]["weight"])
        assert (criterion["name"], criterion["wrapper"]) == (usual["name"], usual["wrapper"])


def test_a_variant_keeps_what_the_preset_says_of_its_objective(study):
    base, design = "paper", {"objective": "ssl_mse_pad", "weight": 3.0}
    (usual,) = load_preset(base)["config"]["ssl_mse_pad"]["enh_criterions"]
    (criterion,) = study.make_preset(base, design)["config"]["ssl_mse_pad"]["enh_criterions"]
    assert criterion == {**usual, "wrapper_conf": {"weight": 3.0}}


def test_table_gives_the_last_the_best_and_the_mean(study, tmp_path):
    curve = Curve(np.array([40, 80, 120]), np.array([[30.0, 10.0, 20.0], [30.0, 20.0, 40.0]]), np.zeros(3))
    table = study.write({"ssl_mse": curve}, tmp_path, command="sensitivity.py").table()
    assert table.header == ["variant", "after 120 updates", "best", "mean over updates 40 to 120"]
    assert table.rows == [["ssl_mse", "30.0 ± 14.1", "15.0 ± 7.1", "22.5 ± 7.1"]]
    stored = Study.read(tmp_path / "sensitivity.json")
    assert stored.table() == table
    assert "`sensitivity.py`" in stored.markdown()


@pytest.mark.parametrize("broken", ["", "{}", '{"kind": "other", "environment": {}, "variants": {}}', None])
def test_a_broken_study_is_named(tmp_path, broken):
    path = tmp_path / "sensitivity.json"
    if broken is not None:
        path.write_text(broken)
    with pytest.raises(ScoreError, match=r"sensitivity\.json"):
        Study.read(path)


def test_an_experiment_that_is_not_ready_is_named(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sensitivity.py", "--experiment", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        study.main()
    assert f"{tmp_path} has no ssl, se, asr: run stages 1 to 4" in capsys.readouterr().err


def test_variants_of_another_experiment_are_not_taken_for_those_of_this_one(study, tmp_path, monkeypatch, capsys):
    for experiment in ("one", "other"):
        for name in ("ssl", "se", "asr"):
            (tmp_path / experiment / name).mkdir(parents=True)
    variant = next(iter(read_yaml(study.DESIGN)["variants"]))
    kept = tmp_path / "out" / study.folder_name(variant)
    kept.mkdir(parents=True)
    (kept / "ssl").symlink_to(tmp_path / "one" / "ssl")
    options = ["--experiment", str(tmp_path / "other"), "--out", str(tmp_path / "out"), "--variants", variant]
    monkeypatch.setattr(sys, "argv", ["sensitivity.py", *options])
    with pytest.raises(SystemExit):
        study.main()
    assert "this --out holds variants of another experiment" in capsys.readouterr().err
