"""The study of options: its presets differ from the recipe in one option of one criterion, its table says what ran."""

import sys

import numpy as np
import pytest
import yaml

from espnet_plugins.analysis.curves import Curve
from local.config import load_preset, read_yaml


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


def test_table_gives_the_last_the_best_and_the_mean(study):
    curve = Curve(np.array([40, 80, 120]), np.array([[30.0, 10.0, 20.0], [30.0, 20.0, 40.0]]), np.zeros(3))
    assert study.table({"ssl_mse": curve}).rows == [["ssl_mse", "30.0 ± 14.1", "15.0 ± 7.1", "22.5 ± 7.1"]]


def test_an_experiment_that_is_not_ready_is_named(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sensitivity.py", "--experiment", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        study.main()
    assert f"{tmp_path} has no ssl, se, asr: run stages 1 to 4" in capsys.readouterr().err
