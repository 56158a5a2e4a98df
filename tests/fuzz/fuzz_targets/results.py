"""What an experiment leaves for its tables and its report: scores, curves, probes, archives, records of steps."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from fuzz_mutations import Tree, changed_files, changed_values
from hypothesis import strategies as st

from espnet_plugins.analysis.comparison.curves import COLUMNS, read_curve
from espnet_plugins.analysis.probe.result import ProbeError, ProbeResult
from espnet_plugins.analysis.report.archive import read_archive, write_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore, read_scores
from fuzz_targets.target import Target, call_all
from local.common.errors import RecipeError
from local.common.steps import Step

_ERRORS = (ScoreError, ProbeError, RecipeError)


def _scores() -> dict[str, dict[str, SetScore]]:
    references = {"a-1": "ONE TWO", "a-2": "RED"}
    heard = {"noisy": {"a-1": "ONE", "a-2": "RED"}, "ssl_mse_joint_seed0": {"a-1": "ONE TWO"}}
    told = {"conditions": {"a-1": "hum_5dB"}, "speakers": dict.fromkeys(references, "a")}
    return {
        name: {"test": SetScore(name, "test", score_transcripts(references, texts, **told), {"a-2": "it is silent"})}
        for name, texts in heard.items()
    }


def _whole() -> Tree:
    with tempfile.TemporaryDirectory() as place:
        root, scores = Path(place), _scores()
        for system, sets in scores.items():
            (root / "score" / system).mkdir(parents=True)
            sets["test"].write(root / "score" / system / "test.json")
        rows = [",".join(COLUMNS), "1,10,2.5,3,0.5,", "2,20,5.5,2,0.25,0.5"]
        (root / "curve.csv").write_text("".join(f"{row}\n" for row in rows))
        write_archive(Content("a title", scores, environment={"torch": "2"}), root / "scores.json.xz")
        _run(root)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _run(folder: Path) -> None:
    """A step of the recipe, which looks at what it left when it ran before."""
    step = Step("made", stage=1, out=folder / "step", settings={"x": {"y": 1}}, outputs=("made",))
    with contextlib.redirect_stdout(io.StringIO()):
        step.run(lambda: (step.out / "made").write_text("x"))


def _changed_json(tree: Tree, name: str) -> st.SearchStrategy[Tree]:
    content = tree[name] or b""
    packed = name.endswith(".xz")
    settings = json.loads(lzma.decompress(content) if packed else content)

    def put(made: Any) -> Tree:
        text = json.dumps(made).encode("utf-8", "replace")
        return {**tree, name: lzma.compress(text) if packed else text}

    return changed_values(settings).map(put)


def _cases() -> st.SearchStrategy[Tree]:
    tree = _whole()
    nested = [name for name in tree if name.endswith((".json", ".xz", ".done"))]
    return st.one_of(changed_files(tree, text=True), *[_changed_json(tree, name) for name in nested])


def _read(folder: Path, out: Path) -> None:
    if (folder / "step").is_dir():
        shutil.copytree(folder / "step", out / "step")

    def probe() -> None:
        for path in folder.glob("*.json"):
            ProbeResult.read(path)

    readers = [
        partial(read_scores, folder / "score"),
        partial(read_curve, folder / "curve.csv"),
        partial(read_archive, folder / "scores.json.xz"),
        probe,
        partial(_run, out),
    ]
    # What a disk says of a step's files is an error of one line, too.
    call_all(folder, (*_ERRORS, OSError), readers, every=True)


TARGET = Target("results", lambda: [_whole()], _cases, _read, (*_ERRORS, OSError))
