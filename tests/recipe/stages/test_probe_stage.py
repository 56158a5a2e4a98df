"""Stage 8: the positional probe is in the experiment's folder and in both forms of the report."""

import shutil

import pytest
from fake_experiment import Experiment

from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.ssl import shared
from local.stages import probe


@pytest.fixture
def experiment(tmp_path, make_upstream):
    """A scored experiment with a small upstream of random weights, and a development set."""
    made = Experiment(tmp_path)
    step = made.steps.ssl
    made.touch(step.done)
    shutil.copyfile(make_upstream(), step.out / "upstream.pth")
    shutil.copytree(made.recipe.dumpdir / "test_seen", made.recipe.dumpdir / "dev")
    made.run(7)
    return made


def run(experiment):
    experiment.run(8)


def test_the_report_shows_the_probe(capsys, experiment):
    run(experiment)
    expdir = experiment.recipe.expdir
    result = ProbeResult.read(expdir / "probe" / "probe.json")
    # Eight utterances of a second.
    assert (result.utterances, result.frames) == (8, 50)
    assert str(expdir) not in result.upstream
    assert sorted(result.layers[3].gradients) == ["ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"]
    assert not result.layers[0].gradients
    text, page = (expdir / "RESULTS.md").read_text(), (expdir / "report.html").read_text()
    assert result.table().markdown() in text
    assert "](probe/probe.png)" in text
    assert (expdir / "probe" / "probe.png").stat().st_size > 1000
    assert 'id="figure-probe"' in page
    assert 'href="#position"' in page
    for row in result.table().rows:
        assert f"<td>{row[1]}</td>" in page
    capsys.readouterr()
    run(experiment)
    assert capsys.readouterr().out.count("nothing to do") == 2


def test_another_upstream_is_probed_again(monkeypatch, capsys, experiment, make_upstream):
    first = probe.run_probe(experiment.steps).table().plain()
    capsys.readouterr()
    step = experiment.steps.ssl
    shutil.copyfile(make_upstream(positions="conv_sinusoidal"), step.out / "upstream.pth")
    experiment.touch(step.done, "second")
    # As a new process would: a process keeps the upstreams it has read.
    monkeypatch.setattr(shared, "_BACKBONES", {})
    monkeypatch.setattr(shared, "_UPSTREAMS", {})
    second = probe.run_probe(experiment.steps).table().plain()
    assert "changed since the last run (input 'ssl')" in capsys.readouterr().out
    assert first != second


def test_without_development_set_there_is_a_report_and_a_line(capsys, experiment):
    shutil.rmtree(experiment.recipe.dumpdir / "dev")
    run(experiment)
    assert "no positional probe" in capsys.readouterr().out
    assert "Position in the SSL model" not in (experiment.recipe.expdir / "report.html").read_text()
