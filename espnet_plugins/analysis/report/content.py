"""What every form of the report shows, computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from espnet_plugins.analysis.comparison.comparisons import comparison_table, rate_table, with_pooled
from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import LOSS, Curve
from espnet_plugins.analysis.comparison.differences import difference_table
from espnet_plugins.analysis.comparison.loops import loop_table, without_loops
from espnet_plugins.analysis.comparison.paper_table import paper_table
from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.scoring.names import REFERENCE_SYSTEMS, is_subject
from espnet_plugins.analysis.scoring.scores import Scores, group_seeds


@dataclasses.dataclass(frozen=True)
class Content:
    """The content of a report.

    Args:
        title: Heading.
        scores: System -> test set -> score.
        environment: What -> value, as describe_environment() gives it.
        curves: Configuration -> development curve; may be empty.
        measure: What the curves hold, one of MEASURES; unused without curves.
        costs: System -> what it cost; may be empty.
        probe: What the positional probe of the SSL model found.
        settings: Configuration -> settings of its training, without the seed; may be empty.
        note: What a reader must know before any figure; empty for nothing.
        heads: Further recognizer, "pr" for that of phones -> scores of the same systems on the same sets; may be empty.
    """

    title: str
    scores: Scores
    environment: Mapping[str, str]
    curves: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    measure: str = ""
    costs: Mapping[str, Cost] = dataclasses.field(default_factory=dict)
    probe: ProbeResult | None = None
    settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    heads: Mapping[str, Scores] = dataclasses.field(default_factory=dict)
    note: str = ""

    @property
    def comparable(self) -> bool:
        """Whether the curves are on one scale: error rates are, losses of different objectives are not."""
        return bool(self.curves) and self.measure != LOSS

    @cached_property
    def subject(self) -> str | None:
        """The configuration that the report is about: position-invariant fine-tuning, else the last fine-tuned one.

        Of several the one with the most seeds, and of those the first: nothing that looks at scores.
        """
        groups = group_seeds(self.scores)
        tuned = [name for name in groups if name not in REFERENCE_SYSTEMS]
        about = [name for name in tuned if is_subject(name)] or tuned[-1:]
        return max(about, key=lambda name: len(groups[name]), default=None)

    @cached_property
    def setting_differences(self) -> Table:
        """In what the trainings of the other configurations differ from the subject's."""
        if self.subject is None or self.subject not in self.settings:
            return Table([], [])
        return difference_table(self.settings, self.subject)

    @cached_property
    def pooled(self) -> Scores:
        """The scores, with the noisy sets together as one more set."""
        return with_pooled(self.scores)

    @cached_property
    def by_head(self) -> Table:
        """The error rates of several recognizers side by side, as in the paper; empty with one."""
        return paper_table({"asr": self.scores, **self.heads}) if self.heads else Table([], [])

    @cached_property
    def rates(self) -> Table:
        """Word error rates with intervals."""
        return rate_table(self.pooled)

    @cached_property
    def differences(self) -> Table:
        """Differences in word error rate with intervals."""
        return comparison_table(self.pooled)

    @cached_property
    def loops(self) -> Table:
        """The utterances on which the recognizer falls into a loop; empty without any."""
        return loop_table(self.scores)

    @cached_property
    def without_loops(self) -> list[Table]:
        """Word error rates and their differences without these utterances; none where there are none."""
        scores = without_loops(self.scores) if self.loops.rows else {}
        return [table for table in (rate_table(scores), comparison_table(scores)) if table.rows] if scores else []
