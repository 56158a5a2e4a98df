"""Where the errors of one score are: counts by speaker, and which words are taken for which."""

from __future__ import annotations

from collections import Counter, defaultdict

from espnet_plugins.analysis.scoring.errors import align_words
from espnet_plugins.analysis.scoring.scores import ErrorCounts, SetScore


def result_text(score: SetScore, *, preset: str = "") -> str:
    """Counts of words by speaker and in sum, in the columns of sclite's `.sys` file.

    Args:
        score: The score of one system on one test set.
        preset: That of the experiment, for the first line.

    Returns:
        A line that says what was scored, then lines `SPKR | # Snt # Wrd | Corr Sub Del Ins Err S.Err`, the last six in
        per cent.
    """
    by_speaker = defaultdict(list)
    for utterance in score.utterances.values():
        by_speaker[utterance.speaker or "-"].append(utterance)
    rows = [*sorted(by_speaker.items()), ("Sum/Avg", list(score.utterances.values()))]
    width = max(len(name) for name, _ in rows)
    title = f"{score.system} on {score.dataset}" + (f", preset {preset}" if preset else "")
    lines = [title, f"| {'SPKR':{width}} | # Snt  # Wrd |  Corr    Sub    Del    Ins    Err  S.Err |"]
    for name, utterances in rows:
        total = sum((u.words for u in utterances), ErrorCounts())
        parts = (total.correct, total.substitutions, total.deletions, total.insertions, total.errors)
        rates = [100 * part / total.reference for part in parts]
        rates.append(100 * sum(u.words.errors > 0 for u in utterances) / len(utterances))
        cells = " ".join(f"{rate:6.1f}" for rate in rates)
        lines.append(f"| {name:{width}} | {len(utterances):5d} {total.reference:6d} | {cells} |")
    return "\n".join(lines) + "\n"


def errors_text(score: SetScore) -> str:
    """Every utterance with its errors in brackets, `(SAID->HEARD)`, behind the most frequent of each kind.

    Args:
        score: The score of one system on one test set.

    Returns:
        Lists of confusions, insertions and deletions with their counts, then one line for each utterance.
    """
    found: dict[str, Counter[str]] = {kind: Counter() for kind in ("substitute", "insert", "delete")}
    lines = []
    for utt, utterance in score.utterances.items():
        words = []
        for kind, said, heard in align_words(utterance.reference, utterance.hypothesis or ""):
            words.append(said if kind == "equal" else f"({said}->{heard})")
            if kind != "equal":
                found[kind][words[-1]] += 1
        lines.append(f"{utt}\t{utterance.words.rate:.1f}\t{' '.join(words)}")
    parts = []
    for title, kind in (("Confusions", "substitute"), ("Insertions", "insert"), ("Deletions", "delete")):
        ranked = sorted(found[kind].items(), key=lambda item: (-item[1], item[0]))
        parts += [f"{title}: {found[kind].total()}", *(f"{count:6d}  {pair}" for pair, count in ranked), ""]
    return "\n".join([*parts, "Utterances: id, error rate (%), alignment", *lines]) + "\n"
