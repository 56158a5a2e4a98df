"""What scoring stores about one system on one test set, per utterance, as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet_plugins.analysis.scoring.names import split_seed, table_order

_FORMAT = 1


class ScoreError(ValueError):
    """A score file that is missing, broken, or does not fit the others."""


@dataclasses.dataclass(frozen=True)
class ErrorCounts:
    """Alignment counts of a hypothesis against its reference, in words or characters.

    Args:
        correct: Units of the reference that were recognized.
        substitutions: Units recognized as another.
        deletions: Units of the reference without a counterpart.
        insertions: Units of the hypothesis without a counterpart.

    Example:
        >>> counts = ErrorCounts(correct=7, substitutions=2, deletions=1, insertions=1)
        >>> counts.reference, counts.errors, counts.rate
        (10, 4, 40.0)
    """

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference(self) -> int:
        """Units in the reference."""
        return self.correct + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per hundred units of the reference; nan for an empty reference."""
        return 100.0 * self.errors / self.reference if self.reference else float("nan")

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.correct + other.correct,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclasses.dataclass(frozen=True)
class UtteranceScore:
    """The score of one utterance.

    Args:
        reference: What was said.
        hypothesis: What was recognized; None when the decoder left no line for the utterance, which counts
            as a deletion of every word.
        words: Counts over words.
        characters: Counts over characters, spaces included.
        condition: Noise type and SNR, e.g. `babble_2.5`; empty when unknown.
        speaker: The speaker's id.
        quality: Metric -> value, for the utterances on which signal quality was measured.
    """

    reference: str
    hypothesis: str | None
    words: ErrorCounts
    characters: ErrorCounts
    condition: str = ""
    speaker: str = ""
    quality: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SetScore:
    """The score of one system on one test set.

    Args:
        system: E.g. `noisy` or `ssl_mse_joint_seed0`.
        dataset: Name of the test set.
        utterances: Utterance id -> score, for every utterance of the set.
        unscorable: Utterance id -> why its signal quality could not be measured.

    Example:
        >>> one = UtteranceScore("a b", "a", ErrorCounts(1, 0, 1, 0), ErrorCounts(1, 0, 2, 0))
        >>> score = SetScore("noisy", "test", {"u1": one})
        >>> score.total("words").rate, score.sentence_errors
        (50.0, 1)
    """

    system: str
    dataset: str
    utterances: dict[str, UtteranceScore]
    unscorable: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Ids of the utterances without a hypothesis."""
        return [utt for utt, score in self.utterances.items() if score.hypothesis is None]

    @property
    def sentence_errors(self) -> int:
        """Utterances with at least one word error."""
        return sum(score.words.errors > 0 for score in self.utterances.values())

    def total(self, unit: str) -> ErrorCounts:
        """Sum the counts over the set.

        Args:
            unit: `words` or `characters`.
        """
        return sum((getattr(score, unit) for score in self.utterances.values()), ErrorCounts())

    def quality(self, metric: str) -> list[float]:
        """The values of a quality metric, one for each utterance on which it was measured."""
        return [s.quality[metric] for s in self.utterances.values() if metric in s.quality]

    def write(self, path: Path) -> None:
        """Write the score as JSON, sorted by utterance, so that equal scores are equal files."""
        content: dict[str, Any] = {"format": _FORMAT, **dataclasses.asdict(self)}
        path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> SetScore:
        """Read what write() wrote.

        Raises:
            ScoreError: When the file is missing, broken, or of another version.
        """
        remedy = "delete it and score again"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != _FORMAT:
                raise ScoreError(f"{path} was written by another version: {remedy}")
            utterances = {
                utt: UtteranceScore(
                    **{
                        **fields,
                        "words": ErrorCounts(**fields["words"]),
                        "characters": ErrorCounts(**fields["characters"]),
                    }
                )
                for utt, fields in content.pop("utterances").items()
            }
            return cls(utterances=utterances, **content)
        except FileNotFoundError:
            raise ScoreError(f"no such score: {path}") from None
        except OSError as error:
            raise ScoreError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ScoreError(f"{path} is not a score ({error}): {remedy}") from error


# System -> test set -> score.
Scores = Mapping[str, Mapping[str, SetScore]]


def read_scores(
    root: Path, *, systems: Iterable[str] | None = None, datasets: Iterable[str] | None = None
) -> dict[str, dict[str, SetScore]]:
    """Read `<root>/<system>/<set>.json`.

    Args:
        root: The folder that scoring writes into.
        systems: Which to read; default: all, references first, the others by name and seed.
        datasets: Which test sets to read, in this order; default: all, by name.

    Returns:
        System -> test set -> score.

    Raises:
        ScoreError: When there is none, or a system lacks a set or an utterance that another one has:
            a comparison over different utterances would say nothing.
    """
    found = [path.name for path in root.glob("*") if any(path.glob("*.json"))]
    names = list(systems) if systems is not None else sorted(found, key=table_order)
    wanted = None if datasets is None else list(datasets)
    scores: dict[str, dict[str, SetScore]] = {}
    for name in names:
        folder = root / name
        stems = sorted(path.stem for path in folder.glob("*.json")) if wanted is None else wanted
        sets = {stem: SetScore.read(folder / f"{stem}.json") for stem in stems}
        if not sets:
            raise ScoreError(f"no scores in {root / name}")
        scores[name] = sets
    if not scores:
        raise ScoreError(f"no scores in {root}")
    first = next(iter(scores))
    for name, sets in scores.items():
        if sets.keys() != scores[first].keys():
            raise ScoreError(
                f"{root}: '{name}' is scored on {', '.join(sets)}, but '{first}' on {', '.join(scores[first])}"
            )
        for dataset, score in sets.items():
            odd = score.utterances.keys() ^ scores[first][dataset].utterances.keys()
            if odd:
                raise ScoreError(
                    f"{root}: '{name}' and '{first}' differ in the utterances of {dataset} "
                    f"(e.g. {min(odd)}): score both again"
                )
    return scores


def group_seeds(systems: Iterable[str]) -> dict[str, list[str]]:
    """Gather the systems that differ in the seed alone.

    Returns:
        Configuration -> its systems, both in the order in which they were given.

    Example:
        >>> group_seeds(["se", "ssl_mse_joint_seed0", "ssl_mse_joint_seed1"])
        {'se': ['se'], 'ssl_mse_joint': ['ssl_mse_joint_seed0', 'ssl_mse_joint_seed1']}
    """
    groups: dict[str, list[str]] = {}
    for system in systems:
        groups.setdefault(split_seed(system)[0], []).append(system)
    return groups
