"""The counts of one or more campaigns, as JSON and as a table: python3 -m faults.publish DIR [DIR ..]"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faults import plan

_ORDER = (plan.KILL_AT_A_MOMENT, plan.KILL_AT_A_CALL, *plan.FAULTS, plan.SECOND_RECIPE)
# What a run can come to: it was killed, it ended with an error, it went on all the same, the call did not come.
_OUTCOMES = ("killed", "failed", "went on", "not reached")


def counts_of(*records: Mapping[str, Any]) -> dict[str, Any]:
    """What campaigns have come to.

    Args:
        records: What each keeps in campaign.json.
    """
    attempts = [attempt for record in records for attempt in record["attempts"]]
    rounds = [each for record in records for each in record["rounds"]]
    kinds: dict[str, dict[str, Any]] = {}
    for attempt in attempts:
        kind = kinds.setdefault(attempt["name"], {"runs": 0, "outcomes": Counter(), "parts": Counter(), "found": 0})
        kind["runs"] += 1
        kind["outcomes"][attempt["outcome"]] += 1
        kind["parts"][attempt["part"]] += 1
        kind["found"] += bool(attempt["complaints"])
    found = [
        f"{attempt['run']}, {attempt['part']}, {attempt['name']}: {text}"
        for attempt in attempts
        for text in attempt["complaints"]
    ]
    found += [f"{each['run']}: {text}" for each in rounds for text in each["differences"]]
    seconds = [attempt for attempt in attempts if "second" in attempt]
    whole = [
        len(record["reference"]["results"])
        for record in records
        for _ in [*record["rounds"], *(attempt for attempt in record["attempts"] if attempt["code"] == 0)]
    ]
    return {
        "settings": [record["settings"] for record in records],
        "runs": len(records) + len(attempts) + len(seconds) + len(rounds),
        "kills": sum(attempt["outcome"] == "killed" for attempt in attempts),
        "faults": sum(attempt["name"] in plan.FAULTS and attempt.get("fired", 0) > 0 for attempt in attempts),
        "two_at_once": len(seconds),
        "compared": len(whole),
        "results_compared": sum(whole),
        "differences": sum("differs: " in text or "another table" in text for text in found),
        "not_continued": sum("cannot be continued" in text for text in found),
        "leftovers": sum(each["leftovers"] for each in rounds),
        "kinds": {name: kinds[name] for name in _ORDER if name in kinds},
        "messages": sorted({attempt["message"] for attempt in attempts if attempt["message"]}),
        "found": found,
    }


def markdown(counts: Mapping[str, Any]) -> str:
    """Counts as a page shows them."""
    lines = [
        f"{counts['runs']} runs of the recipe: {counts['kills']} killed, {counts['faults']} with a fault, "
        f"{counts['two_at_once']} with a second recipe beside them; the others continued these. {counts['compared']} "
        f"times all results and the table were compared with those of an undisturbed run, "
        f"{counts['results_compared']} files in all: {counts['differences']} differences, {counts['not_continued']} "
        "runs that could not be continued.",
        "",
        f"| what | runs | {' | '.join(_OUTCOMES)} | in | found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, kind in counts["kinds"].items():
        outcomes = [str(kind["outcomes"].get(outcome, 0)) for outcome in _OUTCOMES]
        places = ", ".join(f"{part} {kind['parts'][part]}" for part in plan.PARTS if part in kind["parts"])
        lines.append(f"| {name} | {kind['runs']} | {' | '.join(outcomes)} | {places} | {kind['found']} |")
    if counts["found"]:
        lines += ["", "Found:", "", *(f"- {text}" for text in counts["found"])]
    return "\n".join(lines) + "\n"


def main(folders: Sequence[str]) -> None:
    """Print the table of the campaigns in some folders."""
    print(markdown(counts_of(*(json.loads((Path(folder) / "campaign.json").read_text()) for folder in folders))))


if __name__ == "__main__":
    main(sys.argv[1:])
