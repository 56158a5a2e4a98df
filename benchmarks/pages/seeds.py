"""Runs of one experiment that were made at several times, as one."""

from __future__ import annotations

import dataclasses

from espnet_plugins.analysis.comparison.curves import Curve, merge_curves
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores


def join_seeds(published: Content, added: Content) -> Content:
    """Add runs (other seeds, other objectives) to an experiment.

    Both must have been trained with the same settings and decoded the same mixtures, which what both have shows: its
    transcripts have to be the same.

    Args:
        published: The experiment as it is.
        added: The experiment with the further runs alone.

    Returns:
        All runs. The environment is that of the added ones, with the commands of both. Where the curves of the two have
        other measures, those stay that can be compared between objectives, and of these the added ones.

    Raises:
        ScoreError: When the two are not of one experiment, naming what differs.
    """
    for name in published.settings.keys() & added.settings.keys():
        if published.settings[name] != added.settings[name]:
            raise ScoreError(f"{name} was trained with other settings: {_differing(published, added, name)}")
    if published.heads.keys() != added.heads.keys():
        raise ScoreError("the added runs were decoded by other recognizers")
    curves, measure = _curves(published, added)
    commands = [content.environment.get("command", "") for content in (published, added)]
    return dataclasses.replace(
        added,
        title=published.title,
        scores=_join(published.scores, added.scores),
        environment={**added.environment, "command": "; ".join(dict.fromkeys(filter(None, commands)))},
        curves=curves,
        measure=measure,
        costs={**published.costs, **added.costs},
        settings={**published.settings, **added.settings},
        probe=added.probe or published.probe,
        heads={head: _join(published.heads[head], added.heads[head]) for head in published.heads},
    )


def _join(published: Scores, added: Scores) -> Scores:
    common = [name for name in published if name in added]
    if not common:
        raise ScoreError("no system is in both, which would show that the mixtures are the same")
    if len({frozenset(sets) for sets in (*published.values(), *added.values())}) > 1:
        raise ScoreError("the added runs were scored on other test sets")
    for system in common:
        for dataset in published[system]:
            old, new = (
                {utt: (one.reference, one.hypothesis) for utt, one in scores[system][dataset].utterances.items()}
                for scores in (published, added)
            )
            if differing := {utt for utt in old.keys() | new.keys() if old.get(utt) != new.get(utt)}:
                raise ScoreError(
                    f"{dataset}, {system}: {len(differing)} of {len(old)} utterances have other "
                    f"transcripts, {min(differing)} the first: other mixtures, or another recognizer"
                )
    return {**published, **{name: sets for name, sets in added.items() if name not in published}}


def _curves(published: Content, added: Content) -> tuple[dict[str, Curve], str]:
    if published.measure != added.measure:
        kept = published if published.comparable and not added.comparable else added
        return dict(kept.curves), kept.measure
    names = {**published.curves, **added.curves}
    both = [content.curves for content in (published, added)]
    return {name: merge_curves([curves[name] for curves in both if name in curves]) for name in names}, added.measure


def _differing(published: Content, added: Content, name: str) -> str:
    old, new = published.settings[name], added.settings[name]
    return ", ".join(sorted(key for key in {*old, *new} if old.get(key) != new.get(key)))
