"""Figures show what they are given, and stand inside a page."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.conditions import rates_by_condition
from espnet_plugins.analysis.comparison.plots import inline_svg, plot_conditions, plot_curves, plot_quality, styles
from espnet_plugins.analysis.scoring.scores import SetScore


def test_figure_has_one_line_for_each_objective_and_a_band_for_several_seeds(curves):
    figure = plot_curves(curves, "valid_wer_ctc")
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines] == ["SSL-MSE + ASR loss (2 runs)", "SSL-SoftDTW + ASR loss"]
    assert axes.lines[0].get_ydata().tolist() == [50, 42, 22]
    assert len(axes.collections) == 1
    assert axes.get_ylabel() == "Development WER (%)"


def test_losses_of_different_scales_have_axes_of_their_own(curves):
    first, second = curves
    small = dataclasses.replace(curves[second], values=curves[second].values / 1000 - 12)
    figure = plot_curves({first: curves[first], second: small}, "valid_loss")
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == ["SSL-MSE + ASR loss (2 runs)", "SSL-SoftDTW + ASR loss"]
    heights = []
    for axes, curve in zip(figure.axes, (curves[first], small), strict=True):
        (line,) = axes.lines
        assert line.get_ydata().tolist() == curve.mean.tolist()
        low, high = axes.get_ylim()
        heights.append(np.ptp(curve.mean) / (high - low))
    # On axes of both the second would be a flat line.
    assert min(heights) > 0.5
    assert len(figure.axes[0].collections) == 1


@pytest.mark.parametrize("name", ["short", "a configuration with a name as long as half of a page is wide, {}"])
def test_no_name_is_cut_off(curves, name):
    found = {f"{name} {k}": curve for k, curve in enumerate(curves.values())}
    figure = plot_curves(found, "valid_wer_ctc")
    figure.canvas.draw()
    (legend,) = figure.legends
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert legend.get_window_extent().y0 >= figure.axes[0].get_window_extent().y1
    assert len(legend.get_texts()) == len(found)


def test_conditions_show_the_mean_over_seeds(scores):
    names, rates = rates_by_condition(scores, "test_seen", by="SNR")
    figure = plot_conditions(scores, "test_seen", by="SNR")
    axes = figure.axes[0]
    figure.canvas.draw()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names == ["2.5 dB", "7.5 dB"]
    for line, values in zip(axes.lines, rates.values(), strict=True):
        assert line.get_ydata() == pytest.approx(values.mean(axis=0))


def test_quality_is_drawn_where_it_was_measured(scores):
    score = scores["se"]["test_seen"]
    utterances = dict(score.utterances)
    chosen = list(utterances)[:5]
    for utt in chosen:
        utterances[utt] = dataclasses.replace(utterances[utt], quality={"pesq": 2.5})
    measured = {"clean": scores["clean"], "se": {"test_seen": SetScore("se", "test_seen", utterances)}}
    axes = plot_quality(measured, "test_seen", "pesq", axis="PESQ").axes[0]
    words = [utterances[utt].words for utt in chosen]
    rate = 100 * sum(w.errors for w in words) / sum(w.reference for w in words)
    assert len(axes.lines) == 1
    assert axes.lines[0].get_xydata() == pytest.approx(np.array([[2.5, rate]]))


def test_a_configuration_looks_the_same_in_every_figure():
    tuned = [f"objective{i}" for i in range(8)]
    everywhere = styles(["clean", "noisy", "se", *tuned])
    assert {name: everywhere[name] for name in tuned} == styles(tuned)
    looks = [(look["color"], look["marker"]) for look in everywhere.values()]
    assert len(set(looks)) == len(looks)


def test_inline_figures_are_well_formed_themeable_and_share_no_ids(curves):
    svgs = [inline_svg(lambda: plot_curves(curves, "valid_wer_ctc"), name=name) for name in ("one", "two")]
    ids = []
    for svg in svgs:
        ElementTree.fromstring(svg)
        assert "currentColor" in svg
        assert "font-family" not in svg
        assert "<style" not in svg
        assert not re.match(r"<svg[^>]* (width|height)=", svg)
        found = re.findall(r'\bid="([^"]*)"', svg)
        assert len(found) == len(set(found))
        links = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
        assert {first or second for first, second in links} <= set(found)
        ids.append(set(found))
    assert not ids[0] & ids[1]
    assert svgs[0] == inline_svg(lambda: plot_curves(curves, "valid_wer_ctc"), name="one")
