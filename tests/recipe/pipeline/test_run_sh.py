"""run.sh refuses wrong options with one clear line before any work, and says what is missing."""

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest
import yaml
from places import RECIPE, ROOT

from local.common.errors import OptionError, RecipeError
from local.common.recipe import FINETUNE_MODES
from local.corpora.corpus import variables
from local.pipeline.options import parse
from local.pipeline.run import run as run_stages
from local.stages.ssl_model import upstream_options


def run(*options, cwd=RECIPE, script=RECIPE / "run.sh"):
    return subprocess.run([script, *map(str, options)], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folders(tmp_path):
    """Options that keep a run away from the recipe's own results."""
    names = ("downloads", "datadir", "dumpdir", "expdir")
    return [word for name in names for word in (f"--{name}", str(tmp_path / "with a blank" / name))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stages", "1"], "unknown option --stages"),
        (["--stage"], "option --stage needs a value"),
        (
            ["--noise", "/nowhere"],
            "--noise is for noisy_speech, from which preset mini reads no set; presets .*: noisy_",
        ),
        (["--preset", "noisy_speech", "--noise", "/no where"], "--noise /no where: no such file or folder"),
        (["--preset", "digits", "--fsdd", "/nowhere"], "--fsdd /nowhere: no such file or folder"),
        (["--stage=3"], "write '--stage 3'"),
        (["3"], "unexpected argument '3'"),
        (["--stage", "-1"], "--stage must be a whole number"),
        (["--stage", "11"], "--stage 11: stages run from 1 to 10"),
        (["--stage", "3", "--stop_stage", "2"], "nothing to do"),
        (["--cmd_backend", "pbs"], "unknown --cmd_backend 'pbs'"),
        (["--objectives", "ssl_mse mse"], "unknown objective 'mse': choose from .*si_snr"),
        (["--expdir", "$(touch evaluated)", "--stage", "x"], "--stage must be"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, message, tmp_path):
    result = run(*options, cwd=tmp_path)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--stage=one", "--stage must be a whole number, not 'one'"),
        ("--stage=2.5", "--stage must be a whole number, not '2.5'"),
        ("--stage=0", "stages run from 1 to 10"),
        ("--stop_stage=0", "stages run from 1 to 10"),
        ("--stop_stage=11", "--stop_stage 11: stages run from 1 to 10"),
        ("--nj=two", "--nj must be a whole number"),
        ("--nj=0", "--nj must be at least 1"),
        ("--preset=huge", "unknown preset 'huge': choose from .*mini.*smoke"),
        ("--preset=no_such_file.yaml", "preset no_such_file.yaml: no such file: /.*/no_such_file.yaml"),
        (f"--preset={'9' * 5000}", "unknown preset"),
        ("--finetune=everything", "unknown --finetune 'everything'"),
        ("--seeds=a", "--seeds takes whole numbers"),
        ("--upload_repo=me", "--upload_repo 'me' is no name of a repository"),
        ("--upload_repo=me/model", "takes the model of one run, not of 4 .*--objectives"),
        ("--preset=smoke --corpus=mino", r"smoke has no --corpus mino: leave --corpus out \(paper has mini\)"),
        ("--preset=paper --corpus=mino", "preset paper has no --corpus mino: it has mini$"),
        # That a preset's name goes on so makes no corpus of it.
        ("--preset=whisper --corpus=small", "preset whisper has no --corpus small"),
        ("--resume=maybe", "--resume is true or false"),
        (
            "--fsdd=/nowhere",
            "--fsdd is for fsdd, from which preset mini reads no set; presets that do: digits, ",
        ),
        # Its files are made with mini, and read by others.
        ("--librispeech=/nowhere", "--librispeech is for librispeech, from which preset mini .*: full, noisy_sp"),
        ("--preset=noisy_speech --librispeech=/nowhere", "--librispeech /nowhere: no such file or folder"),
        (
            "--preset=noisy_speech --librispeech=/nowhere --speech=/a.csv",
            "is for librispeech, from which preset noisy_speech",
        ),
    ],
)
def test_what_run_sh_hands_over_is_checked(word, message, monkeypatch):
    """The same check as run.sh makes, without a process for each word."""
    for variable in variables():  # gone behind the test
        monkeypatch.setenv(variable, "")
    with pytest.raises(OptionError, match=message):
        parse(word.split())


def test_who_reads_the_beginning_alone_gets_no_traceback():
    code = "from local.common.program import run_main; run_main(lambda: [print('line ' * 99) for _ in range(9999)])"
    environment = {**os.environ, "PYTHONPATH": f"{RECIPE}{os.pathsep}{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("line line")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


def test_ctrl_c_gives_one_line():
    code = "import os, signal, time; from local.common.program import run_main; "
    code += "run_main(lambda: [os.kill(os.getpid(), signal.SIGINT), time.sleep(60)])"
    environment = {**os.environ, "PYTHONPATH": f"{RECIPE}{os.pathsep}{ROOT}"}
    restore = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, preexec_fn=restore, timeout=60
    )
    assert told.returncode == 130
    assert told.stderr == "-c: interrupted; the same command goes on where it stopped\n"


def test_ctrl_c_while_it_imports_gives_no_traceback(tmp_path):
    """A module of the recipe's first imports interrupts it."""
    (tmp_path / "tqdm.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, RECIPE, ROOT)))}
    restore = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "local.pipeline.run", "--status=true"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=restore, timeout=60)
    assert told.returncode == -signal.SIGINT
    assert told.stderr == ""


def test_a_presets_file_counts_from_where_the_user_stands(tmp_path):
    """By its one set, which no preset of the recipe has."""
    own = {"extends": "digits", "test": ["mine"], "sets": {"mine": {"corpus": "digits", "part": "dev"}}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    told = run("--preset", "own.yaml", "--status", "true", "--expdir", "exp", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "dump mine " in told.stdout


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"model": "tiny.en", "language": "de"}, "tiny.en does not know language 'de': choose from en"),
        ({"model": "base", "language": "xx"}, "base does not know language 'xx': choose from .*de"),
        ({"model": "nowhere/whisper"}, "no folder nowhere/whisper; give one of tiny.en, .* or a folder of CTranslate2"),
        ({"model": "base", "beams": 2}, "unknown option 'beams'"),
    ],
)
def test_a_judge_that_cannot_be_had_is_refused_before_any_work(judge, message, tmp_path):
    pytest.importorskip("faster_whisper", reason="it knows Whisper's languages")
    preset = tmp_path / "own.yaml"
    preset.write_text(yaml.safe_dump({"extends": "whisper_small", "judges": {"own": judge}}))
    with pytest.raises(OptionError, match=f"judges: own: {message}"):
        parse([f"--preset={preset}"])


@pytest.mark.parametrize(("key", "value"), [("model", ["base"]), ("checkpoint", 3)])
def test_an_ssl_model_has_a_name(key, value, tmp_path):
    preset = tmp_path / "own.yaml"
    preset.write_text(yaml.safe_dump({"extends": "whisper_small", "ssl": {key: value}}))
    with pytest.raises(OptionError, match=f"ssl: {key}: .* is not accepted"):
        upstream_options(parse([f"--preset={preset}"]).recipe)


def test_a_judge_of_the_preset_below_can_be_taken_away(tmp_path):
    preset = tmp_path / "own.yaml"
    preset.write_text(
        yaml.safe_dump({"extends": "whisper_small", "judges": {"whisper_tiny_en": None, "own": {"model": "base"}}})
    )
    assert parse([f"--preset={preset}"]).recipe.recognizers == ["own"]
    preset.write_text(yaml.safe_dump({"extends": "whisper_small", "judges": {"whisper_tiny_en": None}}))
    with pytest.raises(OptionError, match="is not accepted without judges"):
        parse([f"--preset={preset}"])


def test_stages_behind_the_report_run_where_they_are_asked_for():
    assert [parse(words).stages[-1] for words in ([], ["--stage=9"], ["--stop_stage=10"])] == [8, 9, 10]


def test_help_shows_the_defaults_and_what_was_given():
    result = run("--stage", "3", "--help")
    assert result.returncode == 0
    for line in (r"--stage N .*\[3\]", r"--preset NAME .*mini.*\[mini\]", r"--objectives LIST .*\[of the preset\]"):
        assert re.search(line, result.stdout)
    listed = result.stdout.partition("--objectives LIST")[2].partition("--finetune MODE")[0].splitlines()[1:]
    assert " ".join(listed).split() == list(parse(["--preset=mini"]).recipe.objectives)
    assert max(map(len, listed)) <= 100
    modes = re.search("--finetune MODE *(.*?) *\\[", result.stdout)[1]
    assert all(re.search(rf"\b{mode}\b", modes) for mode in FINETUNE_MODES)
    assert result.stdout.count("separated by blanks or commas") == 2


@pytest.mark.parametrize(
    "options", [["--dry_run", "--preset", "smoke"], ["--preset", "smoke", "--accept_licences", "--dry_run"]]
)
def test_a_flag_needs_no_value(options, folders, tmp_path):
    result = run(*options, *folders, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "disk needed at the peak" in result.stdout
    assert result.stderr.count("--accept_licences is now called --accept_licenses") == ("--accept_licences" in options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stage", "missing", "maker"),
    [
        (2, "downloads|corpora", 1),
        (3, "dump.*train", 2),
        (4, "dump.*train", 2),
        (5, "dump.*train", 2),
        (6, "dump.*test_clean", 2),
    ],
)
def test_a_stage_alone_names_what_is_missing_and_who_makes_it(stage, missing, maker, folders, tmp_path):
    words = [f"{name}={value}" for name, value in zip(folders[::2], folders[1::2], strict=True)]
    invocation = parse(["--preset=smoke", *words, f"--stage={stage}", f"--stop_stage={stage}"])
    with pytest.raises(RecipeError, match=missing) as error:
        run_stages(invocation)
    assert f"stage {maker} makes it" in str(error.value)
    assert error.value.exit_code == 2


def test_it_runs_from_any_folder_and_relative_folders_count_from_there(tmp_path):
    result = run("--preset", "smoke", "--stage", 3, "--stop_stage", 3, "--dumpdir", "my dump", cwd=tmp_path)
    assert result.returncode == 2
    (error,) = (line for line in result.stderr.splitlines() if "error" in line)
    assert str(tmp_path / "my dump") in error
    assert "stage 2 makes it" in error


def test_a_preset_of_ones_own_with_a_broken_file(tmp_path):
    broken = tmp_path / "own.yaml"
    broken.write_text("a: [1\n")
    result = run("--preset", broken)
    assert result.returncode == 2
    assert "own.yaml is not valid YAML" in result.stderr


def test_the_recipe_itself_needs_no_torch():
    """Each start of run.sh, --status and --help too, would wait seconds for it."""
    code = "import sys; from local.pipeline import dry_run, job, pipeline, run, status, submit; "
    code += "print([name for name in ('torch', 'espnet2', 'transformers', 'matplotlib.pyplot') if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": f"{RECIPE}:{ROOT}"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_own_environment_that_lacks_packages_is_named(tmp_path):
    bare = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin")
    if bare is None or subprocess.run([bare, "-c", "import espnet2"], capture_output=True).returncode == 0:
        pytest.skip("no system python without ESPnet here")
    script = ROOT / "tools" / "setup.sh"
    result = subprocess.run([script], env={"OWN_PYTHON": bare, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert result.returncode != 0
    assert "espnet" in result.stderr
