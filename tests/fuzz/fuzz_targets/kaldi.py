"""Kaldi directories, lists of hypotheses, lexica."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from fuzz_mutations import Tree, changed_files
from hypothesis import strategies as st

from fuzz_targets.target import Target, call_all
from local.common import kaldi_dir
from local.common.errors import RecipeError
from local.common.kaldi_dir import Utterance
from local.stages import phones, score

_NAMES = ("set '",)


def _kaldi() -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        utterances = [
            Utterance(
                f"p1-{i}",
                "p1",
                f"/a/{i}.wav",
                (f"/c/{i}.wav", f"/d/{i}.wav"),
                ("ONE TWO", "\u0915\u094d"),
                "hum",
                16000 + i,
                16000,
                noise=f"/n/{i}",
                details={"snr": "5"},
            )
            for i in range(3)
        ]
        kaldi_dir.write(Path(folder), utterances)
        made = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    return {**made, "hyp": b"p1-0 ONE\np1-1\np1-2 TWO\n", "lexicon": b"ONE w V n\nTWO t u:\n\nTWO t u\n"}


def _cases() -> st.SearchStrategy[Tree]:
    return changed_files(_kaldi(), text=True)


def _read(folder: Path, out: Path) -> None:
    def lists() -> None:
        found = kaldi_dir.read(folder)
        kaldi_dir.write(out, kaldi_dir.combine({"x": found, "y": found}))

    call_all(
        folder,
        RecipeError,
        [lists, partial(score.read_hypotheses, folder / "hyp"), partial(phones.read_lexicon, folder / "lexicon")],
        names=_NAMES,
        every=True,
    )


TARGET = Target("kaldi", lambda: [_kaldi()], _cases, _read, (RecipeError,), names=_NAMES)
