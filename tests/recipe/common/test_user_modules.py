"""A preset names modules and configurations of the user, and every process that is started from there knows them."""

import argparse
import os
import subprocess
import sys

import pytest
import yaml
from toy_objective import FILES, write_toy

from espnet_plugins import extensions
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.objectives import CRITERIA
from local.common.errors import OptionError
from local.common.objectives import Objective
from local.common.recipe import Recipe, add_common_arguments, add_run_arguments, load_preset, runs_from_args
from local.stages.experiment import Experiment
from local.stages.train_command import config_with_paths


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a module of the user has left does not outlive the test."""
    criteria, modules = dict(CRITERIA), set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for variable in (extensions.MODULES, extensions.FOLDERS):
        monkeypatch.setenv(variable, "")
    yield
    CRITERIA.clear()
    CRITERIA.update(criteria)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def parse(preset, tmp_path, *options):
    parser = add_run_arguments(add_common_arguments(argparse.ArgumentParser()))
    return parser.parse_args(["--preset", str(preset), "--expdir", str(tmp_path / "exp"), *options])


def test_a_toy_is_short_and_stands_where_its_file_says(tmp_path):
    assert sum(len(text.strip().splitlines()) for text in FILES.values()) <= 40
    args = parse(write_toy(tmp_path / "my files"), tmp_path, "--objectives", "ssl_soft_dtw toy si_snr")
    recipe = Recipe.from_args(args)
    runs = runs_from_args(recipe, args)
    assert [run.objective for run in runs] == ["si_snr", "toy", "ssl_soft_dtw"]
    assert label("toy_joint") == "Toy + ASR loss"
    assert "toy_criterion" in CRITERIA
    step = Experiment(recipe, runs).fine_tunings[runs[1]]
    assert "objective" not in step.settings["config"]
    (criterion,) = config_with_paths(recipe, step)["enh_criterions"]
    assert criterion["conf"]["upstream"] == {"model": "local", "checkpoint": str(tmp_path / "exp/ssl/upstream.pth")}


def test_the_older_name_of_what_an_objective_needs_warns_once(tmp_path, capsys):
    config = {
        "objective": {"label": "a", "order": 1, "needs": {"mimic": "recogniser"}},
        "enh_criterions": [{"name": "mimic"}],
    }
    assert Objective.from_config(tmp_path / "mine.yaml", config).needs == {"mimic": "recognizer"}
    (line,) = capsys.readouterr().out.splitlines()
    assert "mine.yaml: needs: recogniser is now called recognizer" in line


def test_programs_that_are_started_know_the_module(tmp_path):
    Recipe.from_args(parse(write_toy(tmp_path / "my files"), tmp_path))
    check = "from espnet_plugins import tasks; from espnet2.tasks.enh import criterion_choices as c; "
    check += "print('toy_criterion' in c.classes)"
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=dict(os.environ))
    assert told.stdout.splitlines()[-1] == "True", told.stderr[-2000:]


def test_a_preset_that_extends_one_of_a_user_has_its_modules_and_folders(tmp_path):
    first = write_toy(tmp_path / "first")
    second = tmp_path / "second" / "mine.yaml"
    second.parent.mkdir()
    second.write_text(yaml.safe_dump({"extends": str(first), "seed": 3}))
    preset = load_preset(str(second))
    assert preset["import"] == ["my_toy"]
    assert preset["import_from"] == [str(tmp_path / "first")]
    assert preset["conf_dirs"] == [str(tmp_path / "first" / "conf")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "my_toy.py",
            "import no_such_thing",
            "import: module 'my_toy' cannot be imported: No module named",
        ),
        ("my_toy.py", "1 / 0", "import: module 'my_toy' cannot be imported: ZeroDivisionError: division"),
        ("toy.yaml", "import: my_module", r"toy\.yaml: import: 'my_module' is not accepted; give a list of names"),
        ("toy.yaml", "{extends: smoke, conf_dirs: [gone]}", r"toy\.yaml: conf_dirs: no such folder: .*gone"),
        ("conf/objectives/toy.yaml", "enh_criterions: []", r"toy\.yaml: say `objective: \{label: "),
        (
            "conf/objectives/toy.yaml",
            "{objective: {label: a, order: 1}, enh_criterions: [{name: ssl_mse}]}",
            r"toy\.yaml: objective: needs: None is not accepted; .* e\.g\. \{ssl_mse: upstream\}, or \{\}",
        ),
        (
            "conf/objectives/toy.yaml",
            "{objective: {label: a, order: 1, needs: {ssl_mse: hubert}}, enh_criterions: [{name: ssl_mse}]}",
            r"needs: .* is not accepted; give criteria of this file with what each is given of upstream, recognizer",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, message):
    preset = write_toy(tmp_path)
    (tmp_path / name).write_text(text)
    args = parse(preset, tmp_path)
    with pytest.raises(OptionError, match=message):
        runs_from_args(Recipe.from_args(args), args)
