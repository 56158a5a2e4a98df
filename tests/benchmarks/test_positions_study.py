"""The controlled study: its presets differ in positions alone, its table says what the scores say."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.probe import Layer, ProbeResult, Shares
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import SetScore
from local.common.recipe import load_preset
from pages.studies import Study, plot_positions


@pytest.fixture(scope="module")
def study(load_benchmark):
    return load_benchmark("positions")


def score(system, dataset, rate, seed):
    generator = np.random.default_rng(seed)
    said = {f"u{k:02d}": "one two three four five" for k in range(40)}
    heard = {
        utt: " ".join("six" if generator.random() < rate else word for word in text.split())
        for utt, text in said.items()
    }
    return SetScore(system, dataset, score_transcripts(said, heard, conditions={}, speakers={}))


def write_variant(study, out, name, *, share, better):
    """What the recipe leaves of a variant: scores of seven systems and a probe."""
    rates = {"clean": 0.02, "noisy": 0.5, "se": 0.4, "ssl_mse_se": 0.3, "ssl_soft_dtw_se": 0.3 - better}
    systems = [name for name in rates if not name.endswith("_se")]
    systems += [f"{name}_seed{k}" for name in rates if name.endswith("_se") for k in (0, 1)]
    for number, system in enumerate(systems):
        for dataset in ("test_seen", "test_unseen"):
            path = out / name / "score" / system / f"{dataset}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            score(system, dataset, rates[system.partition("_seed")[0]], number).write(path)
    interval = Interval(share, share - 0.01, share + 0.01, 0.0)
    gradients = {"ssl_mse": interval, "ssl_soft_dtw": Interval(0.0, -0.01, 0.01, 0.5), "si_snr": interval}
    layers = {0: Layer(Shares(interval, interval)), 1: Layer(Shares(interval, interval), gradients)}
    result = ProbeResult("tiny", 8, 50, 1.0, 4, 5.0, True, 0, layers)
    (out / name / "probe").mkdir()
    result.write(out / name / "probe" / "probe.json")
    return study.read_variant(name, out, seeds=["0", "1"], mode="se")


def test_variants_differ_in_nothing_but_positions(study, tmp_path):
    presets = {}
    for name in yaml.safe_load(study.DESIGN.read_text())["variants"]:
        study.make_preset("mini", name, tmp_path / f"{name}.yaml")
        presets[name] = load_preset(str(tmp_path / f"{name}.yaml"))
    assert list(presets) == ["none", "conv", "conv_sinusoidal", "conv_sinusoidal_strong"]
    for name, preset in presets.items():
        conf = preset["config"]["train_ssl"]["encoder_conf"]
        assert conf.pop("positions") == name.removesuffix("_strong")
        conf.pop("position_scale", None)
    assert all(preset == presets["none"] for preset in presets.values())
    assert presets["none"]["test"] == ["test_seen", "test_unseen"]


def test_variants_start_from_one_front_end(study, tmp_path):
    for name in ("none", "conv", "none"):
        study.share_front_end(tmp_path, tmp_path / name)
    (tmp_path / "none" / "se" / "model.pth").write_text("trained")
    assert (tmp_path / "conv" / "se" / "model.pth").read_text() == "trained"


def test_the_recipe_is_called_once_for_each_variant_with_what_it_needs(study, tmp_path, monkeypatch):
    """The commands are taken apart by the recipe's own option checks."""
    from local.pipeline.options import parse

    commands = []
    monkeypatch.setattr(study.subprocess, "run", lambda command, check: commands.append(command))
    args = study.get_parser().parse_args(["--out", str(tmp_path), "--preset", "smoke", "--seeds", "0 1"])
    for name in args.variants:
        study.run_variant(args, name, tmp_path)
    assert len(commands) == len(args.variants) == 4
    for command, name in zip(commands, args.variants, strict=True):
        assert Path(command[0]).is_file()
        options = dict(zip(command[1::2], command[2::2], strict=True))
        assert options["--expdir"] == str(tmp_path / name)
        assert options["--dumpdir"].endswith("dump/smoke")
        parse(command[1:])


def test_table_figure_and_numbers_say_what_the_scores_say(study, tmp_path):
    variants = {
        "none": write_variant(study, tmp_path, "none", share=0.0, better=0.0),
        "conv_sinusoidal": write_variant(study, tmp_path, "conv_sinusoidal", share=0.2, better=0.15),
    }
    low, high = (variant.difference for variant in variants.values())
    assert low.low < 0 < low.high
    assert high.high < 0
    rates = variants["conv_sinusoidal"].rates
    (soft0, soft1), (mse0, mse1) = rates["ssl_soft_dtw_se"], rates["ssl_mse_se"]
    assert high.value == pytest.approx((soft0 + soft1 - mse0 - mse1) / 2)
    made = study.write(variants, tmp_path, command="positions.py")
    rows = made.table().rows
    assert [row[0] for row in rows] == ["none", "conv_sinusoidal"]
    assert rows[1][1] == "20.0 [19.0, 21.0]"
    assert rows[1][3:5] == ["20.0 [19.0, 21.0]", "0.0 [-1.0, 1.0]"]
    assert rows[1][-1].startswith("**-")
    stored = Study.read(tmp_path / "positions.json")
    assert stored == made
    assert stored.markdown() + "\n" == (tmp_path / "positions.md").read_text()
    assert (tmp_path / "positions.png").read_bytes().startswith(b"\x89PNG")
    points = [c.lines[0].get_xydata()[0].tolist() for c in plot_positions(stored.variants).axes[0].containers]
    assert points == [[0.0, low.value], [20.0, high.value]]
