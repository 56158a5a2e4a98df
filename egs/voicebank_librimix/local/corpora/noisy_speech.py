"""Any speech with any noises, perhaps in rooms: drawn once, written to a manifest, the same everywhere.

Speech is a tree like LibriSpeech's or a table, noise a folder of recordings, rooms a folder of impulse responses. What
is drawn for an utterance depends on the seed, the set's options and the utterance's id alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE, AudioError, inspect
from local.common.errors import MissingInput, OptionError
from local.common.fingerprints import digest_of
from local.common.kaldi_dir import DataError, Utterance
from local.common.output import log
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.corpora import csv_corpus, noise_folder
from local.corpora.clean_speech import SPLITS, Speech, deal, from_table, from_tree
from local.corpora.contents import KEPT, contents_of
from local.corpora.corpus import (
    FLAC,
    PCM_HOUR,
    STAGE,
    Corpus,
    Estimate,
    Spec,
    Work,
    published_hours,
    register_corpus,
    some,
)
from local.corpora.mixing import named_rng
from local.corpora.noise_folder import Recording
from local.corpora.noisy_mixing import Mixture, mix, tell, write_manifest
from local.corpora.room_responses import RESPONSES, check_responses, files_in, find_responses

# Raised with every change that draws or mixes otherwise for the same settings.
VERSION = 2
KINDS = ("seen", "unseen")
# A file that tells the licenses of a folder, and what it is called beside a model.
_LICENSES = re.compile(r"(licen[cs]e|copying|notice|attribution)", re.IGNORECASE)
_PACKED_AS = {"recordings of noise": "NOISE_LICENSES.md", "room impulse responses": "ROOM_LICENSES.md"}
_OPTIONS = {"seed", "speech", "parts", "speakers", "noise", "unseen", "rirs", "snr"}


def _licenses(folder: Path) -> Path | None:
    """The file of a folder that says under which licenses its files are, or None."""
    if not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir()) if p.is_file() and _LICENSES.match(p.name)), None)


def _seconds(speech: Speech) -> float:
    info = inspect(speech.audio)
    return info.frames / info.rate


@register_corpus("noisy_speech")
class NoisySpeech(Corpus):
    """Speech and noises of one's own.

    The preset says under `corpora: {noisy_speech: ...}`: `speech` ("librispeech", the tree of --librispeech, or a
    table), `parts` and `speakers` (see `clean_speech.deal`), `noise` and `rirs` (folders), `unseen` (types of noise
    kept from training, by name or as a share), `snr` (split -> dB) and `seed`. Where --noise, --rirs or --speech say
    something, that holds.
    """

    variables = ("NOISE", "RIRS", "SPEECH")
    # Whether this process has seen that every response can be read.
    _rooms_read = False

    @property
    def root(self) -> Path:
        """Where it is made."""
        return self.made

    @property
    def options(self) -> dict[str, Any]:
        """What the preset says about the corpus.

        Raises:
            OptionError: For a key that is not known.
        """
        options = super().options
        if unknown := sorted({*options} - _OPTIONS):
            raise OptionError(f"corpora: noisy_speech: unknown '{unknown[0]}' (known: {', '.join(sorted(_OPTIONS))})")
        return options

    def _path(self, variable: str, option: str) -> Path | None:
        """A file or folder by the environment or by the preset; relative ones count from --downloads."""
        given = os.environ.get(variable) or self.options.get(option)
        return self.catalogue.recipe.downloads / str(given) if given else None

    @property
    def _noise(self) -> Path:
        return self._path("NOISE", "noise") or self.catalogue.recipe.downloads / "noise"

    @property
    def _rirs(self) -> Path | None:
        return self._path("RIRS", "rirs")

    @property
    def _table(self) -> Path | None:
        """The table of the speech; None for LibriSpeech's tree."""
        if os.environ.get("SPEECH") or self.options.get("speech", "librispeech") != "librispeech":
            return self._path("SPEECH", "speech")
        return None

    @property
    def _parts(self) -> dict[str, list[str]]:
        parts = self.options.get("parts") or {}
        if not isinstance(parts, Mapping) or any(not isinstance(names or [], (str, list)) for names in parts.values()):
            raise OptionError(f"noisy_speech: parts: {parts!r} is not accepted; give split: [part, ...]")
        named = {split: [names] if isinstance(names, str) else list(names) for split, names in parts.items() if names}
        for split, names in named.items():
            if odd := [name for name in names if not isinstance(name, str)]:
                raise OptionError(f"noisy_speech: parts: {split}: {odd[0]!r} is no name of a part")
        return named

    @property
    def _seed(self) -> int:
        return int(self.options.get("seed", 0))

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """LibriSpeech's parts, unless the site has a tree of its own: that is taken as it is, complete or not."""
        parts = frozenset(name for names in self._parts.values() for name in names)
        if self._table or self.catalogue.corpus("librispeech").site or not parts:
            return {}
        return {"librispeech": parts}

    def reads(self, spec: Spec) -> frozenset[str]:
        """LibriSpeech's tree as well, whoever has it, unless the speech is a table's."""
        return super().reads(spec) | ({"librispeech"} if self._table is None else frozenset())

    @property
    def _read_parts(self) -> list[str]:
        """The parts of the tree that are read; none means all."""
        # A split that names no part takes its speakers from everywhere.
        if any(split not in self._parts for split in self.options.get("speakers") or {}):
            return []
        return sorted({name for names in self._parts.values() for name in names})

    def _speech(self) -> list[Speech]:
        if (table := self._table) is not None:
            return from_table(table)
        return from_tree(self.catalogue.corpus("librispeech").root, self._read_parts)

    def _chosen(self, spec: Spec, speech: Sequence[Speech]) -> list[Speech]:
        """The utterances of a set."""
        dealt = deal(speech, parts=self._parts, speakers=self.options.get("speakers") or {}, seed=self._seed)
        split = spec["split"]
        if split not in dealt:
            raise OptionError(f"noisy_speech: nothing says who speaks in {split}: name `parts` or `speakers` for it")
        found = dealt[split]
        if spec.get("transcripts", True):
            silent = [s.id for s in found if not s.text]
            if silent:
                raise DataError(
                    f"noisy_speech: {len(silent)} of {len(found)} utterances of {split} have no transcript "
                    f"({some(silent)}): set `transcripts: false` for a set that trains front-ends"
                )
        if (longest := spec.get("max_seconds")) is not None:
            kept = [s for s in found if _seconds(s) <= longest]
            if not kept:
                raise DataError(f"noisy_speech: all {len(found)} utterances of {split} are over {longest:g} s")
            if len(kept) < len(found):
                log(f"noisy_speech: {len(found) - len(kept)} of {len(found)} of {split} are over {longest:g} s")
            found = kept
        most = spec.get("most")
        if most is not None and most < len(found):
            order = named_rng(self._seed, f"most {split}").permutation(len(found))[: int(most)]
            found = [found[i] for i in sorted(order)]
        return found

    def _snrs(self, spec: Spec) -> list[float]:
        given = spec.get("snr") or (self.options.get("snr") or {}).get(spec["split"]) or [15, 10, 5, 0]
        return [float(value) for value in (given if isinstance(given, (list, tuple)) else [given])]

    def _asked(self, spec: Spec) -> dict[str, Any]:
        """What the files of a set depend on, beside the speech and the noise."""
        split, kind = spec["split"], spec.get("noise", "seen")
        if split not in SPLITS or kind not in KINDS:
            raise OptionError(
                f"noisy_speech: a set is of {', '.join(SPLITS)} with {' or '.join(KINDS)} noise, "
                f"not of '{split}' with '{kind}'"
            )
        most = spec.get("most")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise OptionError(f"noisy_speech: most: {most!r} is no number of utterances")
        longest = spec.get("max_seconds")
        if longest is not None and (not isinstance(longest, (int, float)) or isinstance(longest, bool) or longest <= 0):
            raise OptionError(f"noisy_speech: max_seconds: {longest!r} is no number of seconds")
        rooms = spec.get("reverberant")
        if rooms not in (None, True, False):
            raise OptionError(f"noisy_speech: reverberant: {rooms!r} is neither true nor false")
        if rooms and self._rirs is None:
            raise OptionError(
                f"noisy_speech: a set of {split} asks for rooms (`reverberant: true`): name a folder of impulse "
                "responses with --rirs, or take the set out of the preset"
            )
        return {
            "split": split,
            "noise": kind,
            "snr": self._snrs(spec),
            "most": most,
            "transcripts": bool(spec.get("transcripts", True)),
            "reverberant": rooms is not False and self._rirs is not None,
            **({} if longest is None else {"max_seconds": longest}),
        }

    def _name(self, spec: Spec) -> str:
        asked = self._asked(spec)
        return f"{asked['split']}_{asked['noise']}_{digest_of(asked)[:6]}"

    def _speech_content(self) -> Any:
        """What identifies the speech; of a tree, which may be large, the names and sizes of its files."""
        if (table := self._table) is not None:
            return csv_corpus.content_of(table, columns=("clean",), kept=self.made / KEPT, nj=self.nj)
        root = self.catalogue.corpus("librispeech").root
        folders = [root / name for name in self._read_parts] or [root]
        files = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.is_file()]
        return digest_of([[path.relative_to(root).as_posix(), path.stat().st_size] for path in files])

    def _contents(self, files: Mapping[str, Path]) -> dict[str, str | None]:
        return contents_of(files, kept=self.made / KEPT, nj=self.nj)

    def _noise_step(self) -> Step:
        try:
            files = {recording.name: recording.audio for recording in noise_folder.find_recordings(self._noise)}
            content = digest_of(self._contents(files))
        except DataError:
            # Said when the step runs; a later stage does not need the folder.
            content = None
        settings = {"recordings": content, "v": VERSION}
        return Step("noise", stage=STAGE, out=self.made, settings=settings, outputs=("noise",))

    def origins(self, spec: Spec) -> list[tuple[str, str]]:
        """The speech, the noise, and the rooms."""
        entry = self.catalogue.published("librispeech").entry
        parts = [(entry.title, entry.license) if self._table is None else ("speech of a table", "its owner's")]
        folders = [("recordings of noise", self._noise), ("room impulse responses", self._rirs)]
        for what, folder in folders:
            if folder is not None:
                listed = (
                    f"of each file its own: {_PACKED_AS[what]}" if _licenses(folder) else "not stated for the files"
                )
                parts.append((what, listed))
        return parts

    def notices(self) -> dict[str, Path]:
        """What the folders of noise and rooms say about their licenses."""
        folders = [("recordings of noise", self._noise), ("room impulse responses", self._rirs)]
        found = {_PACKED_AS[what]: _licenses(folder) for what, folder in folders if folder is not None}
        return {name: path for name, path in found.items() if path is not None}

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """The noise brought to the rate of the models, then each set."""
        noise = self._noise_step()
        yield noise, self._prepare_noise
        speech_content = self._speech_content()
        rirs = self._rirs
        responses = self._contents(files_in(rirs)) if rirs else None
        by_name = {self._name(spec): spec for spec in specs}
        for name, spec in by_name.items():
            step = Step(
                name,
                stage=STAGE,
                out=self.made,
                inputs={**self.catalogue.sources(self.requires(spec)), "noise": (noise.done, STAGE)},
                settings={
                    "asked": self._asked(spec),
                    "speech": speech_content,
                    "parts": self._parts,
                    "speakers": self.options.get("speakers"),
                    "unseen": self.options.get("unseen"),
                    "rirs": {"v": RESPONSES, **(responses or {})} if self._asked(spec)["reverberant"] else None,
                    "seed": self._seed,
                    "v": VERSION,
                },
                outputs=(name,),
            )
            yield step, partial(self._make, name, spec)

    def inputs(self, spec: Spec) -> dict[str, tuple[Path, int]]:
        """The set's own step."""
        return {self.name: (self.made / f".{self._name(spec)}.done", STAGE)}

    def _prepare_noise(self) -> None:
        recordings = noise_folder.find_recordings(self._noise)
        folder = self.made / "noise"
        remove(folder)
        tasks = [(recording, folder / f"{recording.name}.flac") for recording in recordings]
        seconds = sum(parallel_map(noise_folder.bring_to_rate, tasks, nj=self.nj, description="noise")) / SAMPLE_RATE
        kinds = sorted({recording.kind for recording in recordings})
        log(f"noisy_speech: {len(recordings)} recordings of {len(kinds)} noises, {seconds / 60:.1f} minutes")

    def _recordings(self, kind: str) -> list[Recording]:
        found = noise_folder.find_recordings(self._noise)
        parted = noise_folder.choose(found, self.options.get("unseen"), seed=self._seed)
        if not parted[kind]:
            raise OptionError(
                f"noisy_speech: no noise is {kind}: name some in `unseen`"
                if kind == "unseen"
                else "noisy_speech: every noise is `unseen`: none is left for training"
            )
        return parted[kind]

    def _make(self, name: str, spec: Spec) -> None:
        asked, folder = self._asked(spec), self.made / name
        remove(folder)
        recordings = tuple(
            (r.name, r.kind, self.made / "noise" / f"{r.name}.flac") for r in self._recordings(asked["noise"])
        )
        rirs = self._rirs if asked["reverberant"] else None
        responses = tuple(find_responses(rirs)) if rirs else ()
        if responses and not self._rooms_read:
            check_responses(responses, nj=self.nj)
            self._rooms_read = True
        # A noise that training hears is cut in two; of one that it does not hear all is for tests.
        part = "all" if asked["noise"] == "unseen" else "test" if asked["split"] == "test" else "train"
        tasks = [
            Mixture(
                speech=speech,
                recordings=recordings,
                part=part,
                snrs=tuple(asked["snr"]),
                responses=tuple((path.relative_to(rirs).as_posix(), path) for path in responses) if rirs else (),
                folder=folder,
                seed=self._seed,
                name=f"{asked['split']} {asked['noise']}",
            )
            for speech in self._chosen(spec, self._speech())
        ]
        rows = list(parallel_map(mix, tasks, nj=self.nj, description=name))
        write_manifest(folder / "manifest.csv", rows)
        tell(name, rows)

    def utterances(
        self,
        *,
        split: str,
        noise: str = "seen",
        snr: Any = None,
        transcripts: bool = True,
        most: int | None = None,
        max_seconds: float | None = None,
        reverberant: bool | None = None,
        input: str = "noisy",
    ) -> list[Utterance]:
        """List a set by its manifest.

        Args:
            split: train, dev or test.
            noise: "seen" or "unseen".
            snr: In dB, one or several; by default those of the preset for the split.
            transcripts: Whether every utterance must have one; false takes them all, for training front-ends.
            most: So many utterances, drawn, at most.
            max_seconds: Longer utterances are left out.
            reverberant: Whether the speech is put into rooms; by default where --rirs gives some.
            input: "noisy" or "clean".
        """
        spec = {
            "split": split,
            "noise": noise,
            "snr": snr,
            "transcripts": transcripts,
            "most": most,
            "max_seconds": max_seconds,
            "reverberant": reverberant,
        }
        manifest = self.made / self._name(spec) / "manifest.csv"
        if not manifest.is_file():
            raise MissingInput(manifest, STAGE)
        rows = csv_corpus.read_rows(manifest, transcripts=transcripts, ignore=True)
        return csv_corpus.from_rows(rows, manifest, input=input, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """As long as its utterances are, where they are there already."""
        try:
            chosen = self._chosen(spec, self._speech())
            hours = sum(parallel_map(_seconds, chosen, nj=self.nj, description="lengths")) / 3600
        except (DataError, AudioError) as error:
            entry = self.catalogue.published("librispeech").entry
            hours = sum(published_hours(entry, name) for name in self._parts.get(spec["split"], ()))
            note = f"noisy_speech: {error}; its size is estimated" if hours else f"noisy_speech: {error}"
            return Estimate(hours, made=2 * hours * PCM_HOUR * FLAC, note=note)
        return Estimate(hours, made=2 * hours * PCM_HOUR * FLAC, utterances=len(chosen))
