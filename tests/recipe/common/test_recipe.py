"""Presets and options: defaults, inheritance, clear errors."""

import argparse

import pytest

from local.common.errors import OptionError
from local.common.recipe import (
    Recipe,
    Run,
    add_common_arguments,
    add_run_arguments,
    load_preset,
    preset_names,
    runs_from_args,
)


def parse(*options):
    return add_run_arguments(add_common_arguments(argparse.ArgumentParser())).parse_args(options)


def runs_of(*options):
    args = parse(*options)
    return runs_from_args(Recipe.from_args(args), args)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name):
    preset = load_preset(name)
    assert "extends" not in preset
    assert isinstance(preset["seed"], int)
    assert Recipe.from_args(parse("--preset", name)).name == name


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(OptionError, match=r"unknown preset .nope.: choose from .*mini"):
        load_preset("nope")


def test_a_preset_that_is_not_there_is_named_with_the_file_that_names_it(tmp_path):
    own, missing = tmp_path / "own.yaml", tmp_path / "none.yaml"
    with pytest.raises(OptionError, match=rf"^preset {missing}: no such file: {missing}$"):
        load_preset(str(missing))
    own.write_text("extends: smok\n")
    with pytest.raises(OptionError, match=rf"^{own}: extends: unknown preset 'smok': did you mean 'smoke'\? choose"):
        load_preset(str(own))
    own.write_text(f"extends: {missing}\n")
    with pytest.raises(OptionError, match=rf"^{own}: extends: preset {missing}: no such file"):
        load_preset(str(own))


def test_a_preset_of_ones_own_extends_another(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("extends: mini\nseed: 7\n")
    preset = load_preset(str(own))
    assert preset["seed"] == 7
    assert preset["ssl"] == load_preset("mini")["ssl"]


def test_directories_default_to_the_presets_name():
    recipe = Recipe.from_args(parse("--preset", "mini", "--expdir", "elsewhere"))
    assert (recipe.datadir.name, recipe.datadir.parent.name) == ("mini", "data")
    assert recipe.expdir.name == "elsewhere"


def test_runs_are_objectives_times_seeds():
    runs = runs_of("--objectives", "ssl_mse si_snr", "--seeds", "0,1", "--finetune", "se")
    assert [run.name for run in runs] == [
        "si_snr_se_seed0",
        "si_snr_se_seed1",
        "ssl_mse_se_seed0",
        "ssl_mse_se_seed1",
    ]
    assert runs[0] == Run("si_snr", "se", 0)


def test_a_preset_may_give_single_objectives_more_seeds(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text('extends: mini\nruns: {objectives: si_snr ssl_mse, seeds: 0, more_seeds: {ssl_mse: "1 2"}}\n')

    def seeds(*options):
        return [(run.objective, run.seed) for run in runs_of("--preset", str(own), *options)]

    assert seeds() == [("si_snr", 0), ("ssl_mse", 0), ("ssl_mse", 1), ("ssl_mse", 2)]
    assert seeds("--seeds", "3") == [("si_snr", 3), ("ssl_mse", 3)]
    for wrong, message in (("{mse: 1}", "unknown objective 'mse'"), ("{ssl_mse: a}", "whole numbers, not 'a'")):
        own.write_text(f"extends: mini\nruns: {{more_seeds: {wrong}}}\n")
        with pytest.raises(OptionError, match=rf"more_seeds: .*{message}"):
            seeds()


@pytest.mark.parametrize("key", ["quality_utterances", "listened_utterances"])
def test_how_many_utterances_are_measured(tmp_path, key):
    own = tmp_path / "own.yaml"
    for written, found in (("all", None), ("3", 3), ("0", 0)):
        own.write_text(f"extends: mini\n{key}: {written}\n")
        assert getattr(Recipe.from_args(parse("--preset", str(own))), key) == found
    for wrong in ("some", "-1", "true", "1.5"):
        own.write_text(f"extends: mini\n{key}: {wrong}\n")
        with pytest.raises(OptionError, match=rf"preset 'own': {key}: .* give a whole number from 0 on, or all"):
            Recipe.from_args(parse("--preset", str(own)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--objectives", "mse"],
            "--objectives: unknown objective 'mse': choose from multi_condition, asr_only, si_snr, mimic, ssl_mse",
        ),
        (["--finetune", "all"], "unknown --finetune 'all': choose from joint, se"),
        (["--objectives", "asr_only", "--finetune", "se"], "which --finetune joint has"),
        (["--objectives", "ssl_mse multi_condition", "--finetune", "se"], "'multi_condition' is the recognition loss"),
        (["--seeds", "1 x"], "whole numbers, not 'x'"),
        (["--objectives", " "], "at least one value"),
    ],
)
def test_wrong_runs(options, message):
    with pytest.raises(OptionError, match=message):
        runs_of(*options)


def test_an_unknown_objective_of_a_preset_is_named_with_it(tmp_path):
    (tmp_path / "own.yaml").write_text("extends: mini\nruns: {objectives: si_snr ssl_mse_layer0}\n")
    with pytest.raises(OptionError, match=r"preset 'own': runs: unknown objective 'ssl_mse_layer0': choose from"):
        runs_of("--preset", str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: [vb_train]", "own': unknown key 'trian': did you mean 'train'?"),
        ("train: vb_train", "own': train: 'vb_train' is not accepted; give a list of names"),
        ("listened_utterances: -1", "listened_utterances: -1 is not accepted; give a whole number from 0 on"),
        ("config: {joint_training: {max_epoch: 1}}", "own': config: unknown key 'joint_training'"),
        ("config: {train_jiont: {max_epoch: 1}}", "config: unknown key 'train_jiont': did you mean 'train_joint'?"),
        ("limits: {max_second: 20}", "limits: unknown key 'max_second': did you mean 'max_seconds'?"),
        ("limits: {max_seconds: long}", "limits: max_seconds: 'long' is not accepted; give seconds from 0 on"),
        ("threads: {single: 0}", "threads: single: 0 is not accepted"),
        (
            "estimate: {utterance_seconds: null}",
            "estimate: utterance_seconds: None is not accepted; give seconds above 0",
        ),
        ("estimate: {speed: null}", "estimate: speed: None is not accepted; give a mapping"),
        ("runs: {objectives: [ssl_mse]}", "runs: objectives: ['ssl_mse'] is not accepted"),
        ("sets: {vb_dev: x}", "sets: {"),
        ("seed: 1\nseed: 2", "own.yaml is not valid YAML: line 3: the key 'seed' is there twice"),
        ("seed: 2001-99-99", "own.yaml is not valid YAML: month must be in 1..12"),
        ("seed: " + "[" * 3000, "own.yaml is not valid YAML"),
    ],
)
def test_what_no_stage_would_read_is_refused(tmp_path, text, message):
    own = tmp_path / "own.yaml"
    own.write_text(f"extends: mini\n{text}\n")
    with pytest.raises(OptionError) as error:
        Recipe.from_args(parse("--preset", str(own)))
    assert message in str(error.value)


def test_a_preset_in_a_folder_of_configurations_may_change_these(tmp_path):
    (tmp_path / "conf" / "objectives").mkdir(parents=True)
    (tmp_path / "conf" / "objectives" / "mine.yaml").write_text("{}")
    own = tmp_path / "own.yaml"
    own.write_text("extends: mini\nconf_dirs: [conf]\nconfig: {mine: {seed: 1}, gtcrn: null}\nlimits: null\n")
    assert Recipe.from_args(parse("--preset", str(own))).preset["config"]["mine"] == {"seed": 1}


def test_presets_that_extend_each_other_are_named(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"extends: {two}\n")
    two.write_text(f"extends: {one}\n")
    with pytest.raises(OptionError, match=r"two\.yaml: extends: .*one\.yaml -> .*two\.yaml -> .*one\.yaml comes back"):
        load_preset(str(one))
    one.write_text("extends: [mini]\n")
    with pytest.raises(OptionError, match=r"one\.yaml: extends: \['mini'\] is not accepted"):
        load_preset(str(one))
