"""VoiceBank-DEMAND (Valentini-Botinhao, 2017, DataShare 10283/2791): read, check, split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from local.common.audio import AudioInfo, inspect
from local.common.kaldi_dir import DataError, Utterance, read_text
from local.common.parallel import parallel_map
from local.common.text import normalize
from local.corpora.corpus import Published, register_corpus, some
from local.corpora.mixing import read_snr

_STEM = re.compile(r"p\d{3}_\d{3}")
DEV_SPEAKERS = ("p226", "p287")


def stems(folder: Path) -> set[str]:
    """The utterances of a folder of wav files; what a Macintosh left in the archives is passed over.

    Raises:
        DataError: When there is no such folder, or a file is not named like an utterance.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: unpack {folder.name}.zip there")
    names = {path.stem for path in folder.glob("*.wav") if not path.name.startswith(".")}
    strange = sorted(name for name in names if not _STEM.fullmatch(name))
    if strange:
        raise DataError(f"{folder}/{strange[0]}.wav is not named like an utterance of VoiceBank (p226_001.wav)")
    return names


def read_log(path: Path) -> dict[str, tuple[str, float]]:
    """Read which noise at which SNR every utterance has.

    Args:
        path: Lines of `utterance noise snr`, the SNR possibly in scientific notation.

    Returns:
        Utterance -> (noise, SNR in dB).

    Raises:
        DataError: For a missing file or a line of another form.
    """
    # The archive of the logs has no folder of its own: they may have been unpacked beside the audio.
    path = path if path.is_file() else path.parents[1] / path.name
    if not path.is_file():
        raise DataError(f"{path.parent / 'logfiles' / path.name} is missing: unpack logfiles.zip there")
    entries: dict[str, tuple[str, float]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split()
        if len(fields) != 3:
            raise DataError(f"{path}, line {number}: '{line}' is not 'utterance noise snr'")
        name, noise, snr = fields
        entry = (noise, read_snr(snr, where=f"{path}, line {number}"))
        if entries.setdefault(name, entry) != entry:
            raise DataError(f"{path}, line {number}: '{name}' comes twice, with different conditions")
    return entries


def _folders(part: str) -> tuple[str, str]:
    """The names of the clean and the noisy set of files that a part is taken from."""
    if part in ("train", "dev"):
        return "trainset_28spk", "trainset_28spk"
    if part == "test" or part.startswith("test_"):
        return "testset", "testset" + part.removeprefix("test")
    raise DataError(f"VoiceBank-DEMAND has no part '{part}': choose train, dev or test")


def _list_missing(missing: set[str]) -> str:
    """Name speakers and some files of a set that is incomplete."""
    speakers = sorted({name.split("_")[0] for name in missing})
    shown = ", ".join(sorted(missing)[:5]) + (", ..." if len(missing) > 5 else "")
    return f"{len(missing)} utterances of {', '.join(speakers)} ({shown})"


def check_complete(root: Path, *, part: str = "train") -> dict[str, tuple[str, float]]:
    """See that every utterance has its clean and noisy file, its transcript and its line in the log.

    Args:
        root: The corpus, with clean_trainset_28spk_wav and so on.
        part: train and dev lie in the same files.

    Returns:
        Utterance -> (noise, SNR in dB).

    Raises:
        DataError: When something is missing, naming speakers and files.
    """
    clean_name, noisy_name = _folders(part)
    clean_folder, noisy_folder = root / f"clean_{clean_name}_wav", root / f"noisy_{noisy_name}_wav"
    clean, noisy = stems(clean_folder), stems(noisy_folder)
    log_file = root / "logfiles" / f"log_{noisy_name}.txt"
    log = read_log(log_file)
    text_folder = root / f"{clean_name}_txt"
    texts = {path.stem for path in text_folder.glob("*.txt") if not path.name.startswith(".")}
    everything = clean | noisy
    places = ((clean_folder, clean), (noisy_folder, noisy), (text_folder, texts), (log_file, log.keys()))
    for place, names in places:
        if missing := everything - names:
            raise DataError(f"{place} lacks {_list_missing(missing)}")
    return {name: log[name] for name in sorted(everything)}


def _inspect_pair(task: tuple[Path, Path, int]) -> AudioInfo:
    clean, noisy, rate = task
    info = inspect(clean, rate=rate)
    frames = inspect(noisy, rate=rate).frames
    if frames != info.frames:
        raise DataError(f"{noisy} has {frames} samples and {clean} has {info.frames}: the pair is not aligned")
    return info


def utterances(
    root: Path,
    part: str,
    *,
    dev_speakers: Sequence[str] = DEV_SPEAKERS,
    rate: int = 48000,
    input: str = "noisy",
    nj: int = 1,
) -> list[Utterance]:
    """List a part of the corpus.

    Args:
        root: The corpus, with clean_trainset_28spk_wav and so on.
        part: train, dev (the development speakers of the training set) or test; test_NAME takes the noisy
            files of noisy_testset_NAME_wav.
        dev_speakers: Kept out of train; p286 and p287 in some publications.
        rate: What the files are sampled at, in Hz.
        input: What the enhancement gets: "noisy", or "clean" to see what it does to clean speech.
        nj: Parallel processes.

    Returns:
        The utterances, in order.

    Raises:
        DataError: When the corpus is incomplete or a pair is not aligned.
        AudioError: When a file cannot be used.
    """
    log = check_complete(root, part=part)
    clean_name, noisy_name = _folders(part)
    if clean_name == "trainset_28spk":
        absent = set(dev_speakers) - {name.split("_")[0] for name in log}
        if absent:
            raise DataError(f"{root} has no speaker {', '.join(sorted(absent))} to develop on")
        log = {k: v for k, v in log.items() if (k.split("_")[0] in dev_speakers) == (part == "dev")}
    paths = {
        name: (root / f"clean_{clean_name}_wav" / f"{name}.wav", root / f"noisy_{noisy_name}_wav" / f"{name}.wav")
        for name in log
    }
    tasks = [(clean, noisy, rate) for clean, noisy in paths.values()]
    infos = list(parallel_map(_inspect_pair, tasks, nj=nj, description=f"check {part}"))
    found = []
    for (name, (noise, snr)), info in zip(log.items(), infos, strict=True):
        clean, noisy = paths[name]
        text_file = root / f"{clean_name}_txt" / f"{name}.txt"
        text = normalize(read_text(text_file))
        if not text:
            raise DataError(f"{text_file}: the transcript of {name} is empty")
        quiet = input == "clean"
        found.append(
            Utterance(
                id=name,
                speaker=name.split("_")[0],
                wav=str(clean if quiet else noisy),
                references=(str(clean),),
                texts=(text,),
                category="clean" if quiet else f"{noise}_{snr:g}dB",
                samples=info.frames,
                rate=info.rate,
                details={} if quiet else {"noise": noise, "snr": f"{snr:g}"},
            )
        )
    return found


@register_corpus("voicebank_demand")
class VoiceBankDemand(Published):
    """VoiceBank-DEMAND; the preset may give `dev_speakers` and `rate`."""

    folder = "voicebank_demand"
    variables = ("VOICEBANK_DEMAND",)
    settings = ("dev_speakers", "rate")

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """Count the utterances of every speaker; see that noises and SNRs are the published ones."""
        facts, found = self.entry.facts, {}
        for part, name in (("train", "trainset_28spk"), ("test", "testset")):
            log = check_complete(root, part=part)
            counts, expected = Counter(stem.split("_")[0] for stem in log), facts["speakers"][name]
            wrong = [
                f"{speaker} has {counts[speaker]} utterances of {count}"
                for speaker, count in expected.items()
                if counts[speaker] != count
            ]
            if unknown := set(counts) - set(expected):
                wrong.append(f"{some(unknown)} should not be there")
            if wrong:
                raise DataError(f"{root}, {name}: {'; '.join(wrong[:5])}")
            for stem, (noise, snr) in log.items():
                if noise not in facts["noises"][name] or snr not in facts["snrs"][name]:
                    raise DataError(f"{root}/logfiles: {stem} has the unknown condition '{noise} {snr:g}'")
            found[name] = len(log)
        return found

    def utterances(self, *, part: str, input: str = "noisy") -> list[Utterance]:
        """List a part, see `utterances`."""
        return utterances(self.root, part, input=input, nj=self.nj, **self.options)
