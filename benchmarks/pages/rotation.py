"""Experiments that differ in who is tested, as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import merge_curves
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores, SetScore


def join_rotation(contents: Mapping[str, Content], *, title: str) -> Content:
    """Join experiments on the same systems and test sets, each with test speakers of its own.

    Utterances are put together set by set, system by system; the runs of all experiments stand side by side in the
    curves, and costs are means.

    Args:
        contents: Experiment -> its content.
        title: Of the joint content.

    Returns:
        The joint content; the environment is the last experiment's, with the commands of all.

    Raises:
        ScoreError: When an experiment lacks a system or a test set that another one has.
    """
    first, *others = contents
    for name in others:
        if _parts(contents[name]) != _parts(contents[first]):
            raise ScoreError(
                f"{name} has other systems, test sets or recognizers than {first}: score the same ones in both"
            )
    last = list(contents.values())[-1]
    made = [content.environment.get("command") for content in contents.values()]
    commands = list(dict.fromkeys(filter(None, made)))
    return Content(
        title=title,
        scores=_join_scores({name: content.scores for name, content in contents.items()}),
        environment={**last.environment, **({"command": "; ".join(commands)} if commands else {})},
        curves={name: merge_curves([c.curves[name] for c in contents.values()]) for name in contents[first].curves},
        measure=contents[first].measure,
        costs={name: _mean_cost([c.costs[name] for c in contents.values()]) for name in contents[first].costs},
        settings=last.settings,
        heads={
            head: _join_scores({name: c.heads[head] for name, c in contents.items()}) for head in contents[first].heads
        },
    )


def _parts(content: Content) -> dict[str, dict[str, set[str]]]:
    """Recognizer -> system -> the test sets on which it was scored."""
    by_head = {"": content.scores, **content.heads}
    return {head: {name: set(sets) for name, sets in scores.items()} for head, scores in by_head.items()}


def _join_scores(parts: Mapping[str, Scores]) -> Scores:
    """Set by set and system by system, as the first experiment has them."""
    return {
        system: {dataset: _join_sets(parts, system, dataset) for dataset in sets}
        for system, sets in next(iter(parts.values())).items()
    }


def _join_sets(scores: Mapping[str, Scores], system: str, dataset: str) -> SetScore:
    parts = {name: by_system[system][dataset] for name, by_system in scores.items()}
    utterances = {f"{name}/{utt}": s for name, part in parts.items() for utt, s in part.utterances.items()}
    reasons = {f"{name}/{utt}": why for name, part in parts.items() for utt, why in part.unscorable.items()}
    return SetScore(system, dataset, utterances, reasons)


def _mean_cost(costs: Sequence[Cost]) -> Cost:
    def mean(name: str) -> float:
        values = [getattr(cost, name) for cost in costs]
        return math.nan if any(math.isnan(value) for value in values) else sum(values) / len(values)

    return Cost(**{name: mean(name) for name in vars(costs[0])})
