"""A corpus in a user's own module, named in the preset: stages 1 and 2 without a change of the repository."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from stages import Stages

from local.common import audio
from local.common.errors import OptionError, RecipeError
from local.common.kaldi_dir import Utterance, read
from local.corpora import catalogue, corpus
from local.pipeline import dry_run
from local.stages import data

TOY = Path(__file__).parents[1] / "toy_corpus.py"


@pytest.fixture
def stages(tmp_path, monkeypatch):
    # All are registered before, so that what a test adds is gone behind it and nothing else.
    corpus.corpus_names()
    monkeypatch.setattr(corpus, "_CORPORA", dict(corpus._CORPORA))
    monkeypatch.syspath_prepend(str(tmp_path))
    # Under a name that no other module has, so that it is imported from where the preset is.
    name = f"toy_corpus_{tmp_path.name}"
    shutil.copy(TOY, tmp_path / f"{name}.py")
    sets = {f"toy_{part}": {"corpus": "toy_tones", "part": part, "word": "beep"} for part in ("train", "dev")}
    return Stages(
        tmp_path,
        monkeypatch,
        **{"import": [name]},
        corpora={"mini": None, "toy_tones": {"count": 8, "seed": 1}},
        sets=sets,
        train=["toy_train"],
        dev=["toy_dev"],
        test=["toy_dev"],
        vocabulary="characters",
    )


def test_a_module_of_at_most_40_lines_goes_through_both_stages(stages, capsys):
    assert len(TOY.read_text().splitlines()) <= 40
    stages(dry_run)
    assert "to fetch: 0 B" in capsys.readouterr().out
    stages(catalogue)
    stages(data)
    found = read(stages.root / "dump" / "train")
    assert [u.id for u in found] == ["train-0", "train-2", "train-4", "train-6"]
    assert {u.texts for u in found} == {("BEEP BEEP",)}
    assert [u.id for u in read(stages.root / "dump" / "toy_dev")] == ["dev-1", "dev-3", "dev-5", "dev-7"]
    capsys.readouterr()
    stages(catalogue)
    stages(data)
    assert all(line.endswith("nothing to do") for line in capsys.readouterr().out.splitlines())
    # Its settings count like any corpus's.
    stages.write(corpora={"mini": None, "toy_tones": {"count": 10, "seed": 1}})
    stages(catalogue)
    stages(data)
    assert "count: 8 -> 10" in capsys.readouterr().out
    assert len(read(stages.root / "dump" / "train")) == 5


def test_what_ctc_cannot_emit_is_told(stages, capsys):
    sets = {name: {**spec, "word": "a" * 30} for name, spec in stages.defaults["sets"].items()}
    stages.write(sets=sets)
    stages(catalogue)
    stages(data)
    out = capsys.readouterr().out
    assert "train: 4 of 4 transcripts are longer than CTC can emit: train-0, train-2, train-4, train-6;" in out
    assert "dev: 4 of 4 transcripts are longer than CTC can emit" in out


class Elsewhere(corpus.Corpus):
    """As docs/howto/corpus.md begins one: audio that somebody else has put there."""

    variables = ("ELSEWHERE",)

    def utterances(self, *, part):
        names = ("a-1", "a-2")
        return [
            Utterance(
                n, "a", str(self.root / part / f"{n}.wav"), (str(self.root / f"{n}.wav"),), ("HI",), "x", 1600, 16000
            )
            for n in names
        ]


def test_audio_that_is_not_there_is_told_before_anything_is_written(stages, capsys):
    corpus.register_corpus("elsewhere")(Elsewhere)
    sets = {name: {"corpus": "elsewhere", "part": name[4:]} for name in ("toy_train", "toy_dev")}
    stages.write(sets=sets, corpora={"mini": None, "toy_tones": None})
    root = stages.root / "downloads" / "elsewhere"
    where = f"elsewhere is read from {root}, which is not there; ELSEWHERE in db.sh names another folder"
    stages(dry_run)
    told = capsys.readouterr().out
    assert f"  {where}\n" in told
    assert "disk needed at the peak: size unknown" in told
    assert "Trainings (hours unknown for training, hours unknown for development)" in told
    with pytest.raises(RecipeError) as error:
        stages(data)
    assert str(error.value) == (
        f"set 'toy_dev', utterance 'a-1': {root}/dev/a-1.wav: no such audio file "
        f"(2 of 2 utterances lack a file); {where}"
    )
    assert {path.suffix for path in (stages.root / "data" / "toy_dev").iterdir()} <= {".lock", ".started"}
    # One file of one utterance, where the rest is there.
    for path in (root / "dev" / "a-1.wav", root / "dev" / "a-2.wav", root / "a-1.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, np.full(1600, 0.1))
    with pytest.raises(RecipeError) as error:
        stages(data)
    assert str(error.value) == (
        f"set 'toy_dev', utterance 'a-2': {root}/a-2.wav: no such audio file; elsewhere is read from {root}; "
        "ELSEWHERE in db.sh names another folder"
    )


def test_its_options_and_its_name_are_checked(stages):
    sets = {**stages.defaults["sets"], "toy_dev": {"corpus": "toy_tones", "part": "dev", "color": "red"}}
    stages.write(sets=sets)
    with pytest.raises(OptionError, match=r"'toy_dev' of toy_tones: .*'color' \(options: part, word\)"):
        stages(catalogue)
    with pytest.raises(OptionError, match="two corpora are called 'librispeech'"):
        corpus.register_corpus("librispeech")(type("Other", (corpus.Corpus,), {}))
