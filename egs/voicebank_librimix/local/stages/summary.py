"""One page about a set: SUMMARY.md with hours, speakers, conditions and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from local.common.kaldi_dir import Utterance
from local.common.output import atomic_path

# Rows of a table before the rest is put together.
_ROWS = 40


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _by(utterances: Sequence[Utterance], key: str) -> list[tuple[str, int, str]]:
    """Count and minutes by speaker or category, the largest first."""
    counts: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for u in utterances:
        counts[getattr(u, key)] += 1
        seconds[getattr(u, key)] = seconds.get(getattr(u, key), 0.0) + u.seconds
    rows = [
        (name, counts[name], f"{seconds[name] / 60:.1f}")
        for name in sorted(seconds, key=seconds.__getitem__, reverse=True)
    ]
    rest = rows[_ROWS:]
    if rest:
        names = [row[0] for row in rest]
        minutes = sum(seconds[name] for name in names) / 60
        rows = [*rows[:_ROWS], (f"{len(rest)} more", sum(counts[name] for name in names), f"{minutes:.1f}")]
    return rows


def _histogram(path: Path, values: Sequence[float], label: str) -> None:
    """Draw a histogram without touching the state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hist(values, bins=min(40, max(5, len(set(values)))), color="#3b6ea5")
    axes.set(xlabel=label, ylabel="utterances")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as tmp:
        figure.savefig(tmp, format="png", dpi=110)


def write_summary(directory: Path, utterances: Sequence[Utterance]) -> Path:
    """Write SUMMARY.md and its pictures beside a set's lists.

    Args:
        directory: The set's data directory.
        utterances: What it holds.

    Returns:
        The path of SUMMARY.md.
    """
    seconds = [u.seconds for u in utterances]
    words = [word for u in utterances for text in u.texts[:1] for word in text.split()]
    snrs = [float(u.details["snr"]) for u in utterances if u.details.get("snr")]
    _histogram(directory / "durations.png", seconds, "duration (s)")
    lines = [
        f"# {directory.name}",
        "",
        f"{len(utterances)} utterances, {sum(seconds) / 3600:.2f} hours, "
        f"{len({u.speaker for u in utterances})} speakers; files at "
        f"{', '.join(f'{rate} Hz' for rate in sorted({u.rate for u in utterances}))}. "
        f"Durations {min(seconds):.1f} to {max(seconds):.1f} s. "
        f"{len(words)} words, {len(set(words))} different.",
        "",
        "![Durations](durations.png)",
        "",
    ]
    if snrs:
        _histogram(directory / "snrs.png", snrs, "SNR (dB)")
        lines += ["![SNR](snrs.png)", ""]
    lines += ["## Conditions", "", *_table(("condition", "utterances", "minutes"), _by(utterances, "category")), ""]
    lines += ["## Speakers", "", *_table(("speaker", "utterances", "minutes"), _by(utterances, "speaker"))]
    path = directory / "SUMMARY.md"
    with atomic_path(path) as tmp:
        tmp.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_signals(directory: Path, utterances: Sequence[Utterance]) -> list[str]:
    """Say what was noted about the signals of a dumped set, in its SUMMARY.md.

    Args:
        directory: The set's folder in the dump.
        utterances: As `dump` gives them.

    Returns:
        A sentence for each thing that was noted at all.
    """

    def some(key: str) -> list[Utterance]:
        return [u for u in utterances if u.details.get(key)]

    told = []
    if loud := some("gain"):
        least = min(float(u.details["gain"]) for u in loud)
        told.append(
            f"{len(loud)} of {len(utterances)} utterances were over full scale: all signals of each got one gain, "
            f"{least:g} at the least (`gain` in manifest.csv)"
        )
    if clipped := some("clipped"):
        told.append(
            f"{len(clipped)} of {len(utterances)} utterances have clipped samples (`clipped` in manifest.csv), "
            f"the first is {clipped[0].id}"
        )
    if padded := some("tail"):
        zeros = sum(float(u.details["tail"]) for u in padded)
        share = zeros / sum(u.seconds for u in utterances)
        told.append(
            f"{len(padded)} of {len(utterances)} references end in zeros for 0.1 s or more, {100 * share:.1f} % of all "
            "samples (`tail` in manifest.csv)"
        )
    with atomic_path(directory / "SUMMARY.md") as tmp:
        lines = [f"- {text}" for text in told] or ["Nothing to note."]
        tmp.write_text("\n".join([f"# Signals of {directory.name}", "", *lines]) + "\n", encoding="utf-8")
    return told
