"""Stage 8: the report says what the scores say, and nothing when there are none."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from fake_experiment import SETS, Experiment
from places import RECIPE

from espnet_plugins.analysis.scoring.scores import read_scores
from local.common.errors import MissingInput, RecipeError
from local.pipeline.options import parse


@pytest.fixture
def experiment(tmp_path):
    made = Experiment(tmp_path)
    made.run(7)
    return made


def run(experiment, *options):
    experiment.run(8, *options)


def test_report_shows_every_stored_number(capsys, experiment):
    run(experiment, "--command", "./run.sh --preset tiny")
    expdir = experiment.recipe.expdir
    text = (expdir / "RESULTS.md").read_text()
    assert (expdir / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "- command: `./run.sh --preset tiny`" in text
    for system, sets in read_scores(expdir / "score").items():
        section = text.split(f"\n## {system}\n")[1].split("\n## ")[0]
        for name, result in sets.items():
            for unit in ("words", "characters"):
                total = result.total(unit)
                rates = [total.correct, total.substitutions, total.deletions, total.insertions, total.errors]
                cells = [name, 8, total.reference, *(f"{100 * n / total.reference:.1f}" for n in rates)]
                assert "|" + "|".join(map(str, cells)) + "|" in section
    page = (expdir / "report.html").read_text()
    assert len(page) < 15e6
    # Two sets of three examples, each in clean, noisy, enhanced and two fine-tuned versions.
    assert page.count("<audio") == 6 * 5
    out = capsys.readouterr().out
    assert out.rstrip().endswith(f"Report: {expdir / 'report.html'}")
    rows = re.findall(r"^(clean|noisy|SE|SI-SNR|SSL-MSE)(?![a-z]).*", out, flags=re.MULTILINE)
    assert rows == ["clean", "noisy", "SE", "SI-SNR", "SSL-MSE"]
    assert all(name in out for name in SETS)


def test_second_call_writes_nothing_but_prints_the_table(capsys, experiment):
    run(experiment)
    written = (experiment.recipe.expdir / "RESULTS.md").stat().st_mtime_ns
    first = capsys.readouterr().out
    run(experiment)
    second = capsys.readouterr().out
    assert (experiment.recipe.expdir / "RESULTS.md").stat().st_mtime_ns == written
    assert "nothing to do" in second
    assert first.split("Word error rate")[1] == second.split("Word error rate")[1]


def test_missing_hypotheses_are_stated_in_the_table(experiment):
    path = experiment.text("noisy", "test_seen")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    experiment.touch(path.parent / ".recognise.done", "second")
    experiment.run(7)
    run(experiment)
    text = (experiment.recipe.expdir / "RESULTS.md").read_text()
    assert "|test_seen (2 without hypothesis)|8|32|" in text
    assert "- test_seen: no hypothesis, counted as deletions: spk0_00, spk1_01" in text


def test_only_the_systems_asked_for_are_reported(capsys, experiment):
    run(experiment, "--objectives", "ssl_mse", "--seeds", "1")
    text = (experiment.recipe.expdir / "RESULTS.md").read_text()
    assert "## ssl_mse_joint_seed1" in text
    assert "si_snr_joint" not in text
    assert "seed0" not in text


def test_a_system_that_was_not_scored_names_stage_7(experiment):
    with pytest.raises(MissingInput, match=r"si_snr_joint_seed2.*stage 7 makes it") as error:
        run(experiment, "--seeds", "0 1 2")
    assert error.value.exit_code == 2
    assert not (experiment.recipe.expdir / "RESULTS.md").exists()


def test_a_run_without_its_curve_names_stage_5(experiment):
    experiment.steps.fine_tunings[experiment.runs[0]].done.unlink()
    with pytest.raises(MissingInput, match=r"si_snr_joint_seed0.*stage 5 makes it"):
        run(experiment)


def test_a_broken_score_is_named(experiment):
    (experiment.recipe.expdir / "score" / "se" / "test_seen.json").write_text("{}")
    with pytest.raises(RecipeError, match=r"se/test_seen\.json.*score again"):
        run(experiment)


def test_wrong_option_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "local.pipeline.run", "--preset", "mini", "--objectives", "nonsense"]
    done = subprocess.run(command, cwd=RECIPE, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "unknown objective 'nonsense'" in done.stderr


def test_what_a_preset_says_of_its_figures_stands_before_them(capsys, experiment):
    run(experiment)
    expdir = experiment.recipe.expdir
    bare = (expdir / "RESULTS.md").read_text()
    note = "A function test: <nothing> is ranked."
    with (experiment.root / "tiny.yaml").open("a") as preset:
        preset.write(f'note: "{note}"\n')
    capsys.readouterr()
    run(experiment)
    out = capsys.readouterr().out
    assert f"changed since the last run (note: None -> {note})" in out
    assert out.index(f"\n{note}\n") < out.index("Word error rate (%)")
    text = (expdir / "RESULTS.md").read_text()
    title, said, rest = text.split("\n\n", 2)
    assert said == f"**{note}**"
    # Nothing else changed but the time.
    assert without_date(f"{title}\n\n{rest}") == without_date(bare)
    page = (expdir / "report.html").read_text()
    assert page.index("A function test: &lt;nothing&gt; is ranked.") < page.index("<h2")


def without_date(text):
    return re.sub(r"- date: .*", "", text)


def test_the_function_test_says_that_it_is_one():
    assert parse(["--preset=smoke"]).recipe.note.startswith("A function test")
    assert parse(["--preset=mini"]).recipe.note == ""
