"""Everything that the tables of a comparison are made of, in one small file.

Transcripts are stored and errors counted again from them; the file is JSON under xz.
"""

from __future__ import annotations

import dataclasses
import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import Curve
from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.names import ObjectiveName, declare, declared
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores, SetScore

SUFFIX = ".json.xz"
_FORMAT = 1
# Digits of the signal measures; tables show two at most.
_DIGITS = 4


def write_archive(content: Content, path: Path) -> None:
    """Write a report's content; the same content gives the same bytes.

    Args:
        content: What to keep.
        path: The file, its name ending in `.json.xz`.
    """
    stored: dict[str, Any] = {
        "format": _FORMAT,
        "title": content.title,
        "environment": dict(content.environment),
        "objectives": {name: dataclasses.asdict(told) for name, told in declared(content.scores).items()},
        "systems": list(content.scores),
        "sets": _sets(content.scores),
        "heads": {head: _sets(scores) for head, scores in content.heads.items()},
        "measure": content.measure,
        "curves": {name: _curve(curve) for name, curve in content.curves.items()},
        "costs": {name: dataclasses.asdict(cost) for name, cost in content.costs.items()},
        "settings": {name: dict(settings) for name, settings in content.settings.items()},
        "probe": content.probe.as_json() if content.probe else None,
    }
    if content.note:
        stored["note"] = content.note
    text = json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(lzma.compress(text.encode("utf-8"), preset=9))


def read_archive(path: Path) -> Content:
    """Read what write_archive() wrote; errors are counted from the transcripts.

    What it says of its objectives holds from here on (:func:`~espnet_plugins.analysis.scoring.names.declare`); one
    of before 0.2 says nothing of them.

    Args:
        path: The file.

    Returns:
        The content.

    Raises:
        ScoreError: When the file is missing, broken, or of another version.
    """
    try:
        stored = json.loads(lzma.decompress(path.read_bytes()))
        if stored["format"] != _FORMAT:
            raise ScoreError(f"{path} was written by another version: make it again with stage 8 of the recipe")
        told = stored.get("objectives", {}).items()
        declare({name: ObjectiveName.from_options(f"objective {name}", options) for name, options in told})
        return Content(
            title=stored["title"],
            scores=_scores(stored["systems"], stored["sets"]),
            environment=stored["environment"],
            curves={name: Curve(**{k: np.array(v) for k, v in c.items()}) for name, c in stored["curves"].items()},
            measure=stored["measure"],
            costs={name: Cost(**cost) for name, cost in stored["costs"].items()},
            settings=stored["settings"],
            probe=ProbeResult.from_json(stored["probe"]) if stored["probe"] else None,
            heads={head: _scores(stored["systems"], sets) for head, sets in stored.get("heads", {}).items()},
            note=stored.get("note", ""),
        )
    except ScoreError:
        raise
    except FileNotFoundError:
        raise ScoreError(f"no such archive of scores: {path}") from None
    except OSError as error:
        raise ScoreError(f"{path} cannot be read: {error.strerror or error}") from error
    # Whatever a damaged archive, or one of another kind, makes of its readers.
    except (
        lzma.LZMAError,
        EOFError,
        MemoryError,
        RecursionError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        raise ScoreError(f"{path} is no archive of scores ({error}): make it again with stage 8") from error


def _sets(scores: Scores) -> dict[str, Any]:
    """What the systems share once; hypotheses of one utterance side by side, since they resemble each other."""
    stored = {}
    for dataset, first in next(iter(scores.values())).items():
        ids = list(first.utterances)
        by_system = {system: sets[dataset] for system, sets in scores.items()}
        stored[dataset] = {
            "utterances": ids,
            **{name: [getattr(first.utterances[utt], name) for utt in ids] for name in _SHARED},
            "hypotheses": [[score.utterances[utt].hypothesis for score in by_system.values()] for utt in ids],
            "quality": {system: _quality(score) for system, score in by_system.items()},
            "unscorable": {system: score.unscorable for system, score in by_system.items()},
        }
    return stored


_SHARED = ("reference", "condition", "speaker")


def _quality(score: SetScore) -> dict[str, dict[str, float]]:
    return {
        utt: {metric: round(value, _DIGITS) for metric, value in fields.quality.items()}
        for utt, fields in score.utterances.items()
        if fields.quality
    }


def _scores(systems: list[str], sets: Mapping[str, Any]) -> dict[str, dict[str, SetScore]]:
    return {
        system: {dataset: _score(system, column, dataset, stored) for dataset, stored in sets.items()}
        for column, system in enumerate(systems)
    }


def _score(system: str, column: int, dataset: str, stored: Mapping[str, Any]) -> SetScore:
    ids = stored["utterances"]
    heard = {utt: row[column] for utt, row in zip(ids, stored["hypotheses"], strict=True)}
    references, conditions, speakers = (dict(zip(ids, stored[name], strict=True)) for name in _SHARED)
    utterances = score_transcripts(
        references,
        {utt: text for utt, text in heard.items() if text is not None},
        conditions=conditions,
        speakers=speakers,
    )
    for utt, quality in stored["quality"][system].items():
        utterances[utt] = dataclasses.replace(utterances[utt], quality=quality)
    return SetScore(system, dataset, utterances, stored["unscorable"][system])


def _curve(curve: Curve) -> dict[str, Any]:
    return {name: value.tolist() for name, value in vars(curve).items()}
