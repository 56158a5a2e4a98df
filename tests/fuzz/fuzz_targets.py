"""What broken input is tried on: for each kind of input whole files to break, and the project's readers of it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch
import yaml
from fuzz_mutations import Tree, changed_files, changed_values, yaml_file
from hypothesis import strategies as st
from scipy.io import savemat
from tiny_architectures import TINY
from tiny_whisper import openai_content, tiny_encoder, write_ctranslate2, write_huggingface

from espnet_plugins.ssl import save_upstream
from espnet_plugins.ssl.checkpoint import instantiate, read_upstream
from espnet_plugins.ssl.whisper import describe_whisper
from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.train.checkpoint import is_intact
from espnet_plugins.weights import read_weights
from local.common import audio, kaldi_dir
from local.common.kaldi_dir import Utterance
from local.common.recipe import RECIPE_DIR
from local.common.steps import RecipeError
from local.corpora import (
    clean_speech,
    csv_corpus,
    fsdd,
    librimix,
    librispeech,
    noise_folder,
    noisy_librispeech,
    room_responses,
    voicebank_demand,
)
from local.corpora.librimix_mixing import read_metadata
from local.corpora.unpack import unpack
from local.jobs.resources import load_cluster_config
from local.pipeline import run
from local.pipeline.options import parse
from local.stages import phones, score

# Every module that takes work to other processes; here it is done in this one, where its errors and memory are seen.
_PARALLEL = (csv_corpus, fsdd, librimix, librispeech, noisy_librispeech, voicebank_demand)


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of input.

    Args:
        name: What it is called.
        cases: Draws a folder with broken input.
        read: Reads what is in a folder; may write into another one.
        errors: By what it may be refused.
        names: What an error may name instead of a file.
        warm_up: Imports and makes what all cases share.
    """

    name: str
    cases: Callable[[], st.SearchStrategy[Tree]]
    read: Callable[[Path, Path], None]
    errors: tuple[type[Exception], ...]
    names: tuple[str, ...] = ()
    warm_up: Callable[[], object] = lambda: None


class NamelessError(AssertionError):
    """A refusal that names neither a file nor an option."""


def names_something(error: Exception, folder: Path, others: Sequence[str] = ()) -> bool:
    """Whether an error names a file of a folder, by its path or by its name, or one of some other things."""
    told = str(error)
    return any(name in told for name in (str(folder), *others, *(path.name for path in folder.rglob("*"))))


def _refused(
    folder: Path,
    errors: type[Exception] | tuple[type[Exception], ...],
    readers: Sequence[Callable[[], object]],
    *,
    names: Sequence[str] = (),
) -> None:
    """Call every reader of a folder; raise the last refusal where none of them takes what is there."""
    refusals: list[Exception] = []
    for reader in readers:
        try:
            reader()
        except errors as error:
            if not names_something(error, folder, names):
                raise NamelessError(str(error)) from error
            refusals.append(error)
    if refusals and len(refusals) == len(readers):
        raise refusals[-1]


# --- audio


def _sounds() -> dict[str, bytes]:
    signal = (0.1 * np.random.default_rng(0).standard_normal((400, 2))).astype(np.float32)
    made = {}
    kinds = {
        **{
            "a.wav": ("WAV", "PCM_16"),
            "b.wav": ("WAV", "FLOAT"),
            "c.wav": ("WAVEX", "PCM_24"),
            "d.wav": ("WAV", "IMA_ADPCM"),
        },
        **{
            "e.flac": ("FLAC", "PCM_16"),
            "f.ogg": ("OGG", "VORBIS"),
            "g.mp3": ("MP3", "MPEG_LAYER_III"),
            "h.aiff": ("AIFF", "PCM_16"),
        },
        **{
            "i.caf": ("CAF", "PCM_16"),
            "j.w64": ("W64", "PCM_16"),
            "k.rf64": ("RF64", "PCM_16"),
            "l.au": ("AU", "PCM_16"),
        },
        **{
            "m.sph": ("NIST", "PCM_16"),
            "n.wav": ("WAV", "ULAW"),
            "o.opus": ("OGG", "OPUS"),
            "p.raw": ("RAW", "PCM_16"),
        },
    }
    for name, (kind, subtype) in kinds.items():
        buffer = io.BytesIO()
        one = signal[:, 0] if name in ("a.wav", "e.flac", "h.aiff", "m.sph", "p.raw") else signal
        soundfile.write(buffer, one, 16000, format=kind, subtype=subtype)
        made[name] = buffer.getvalue()
    for name, content in (("q.mat", {"h": signal[:, 0], "fs": 16000}), ("r.mat", {"x": {"ir": signal, "sr": 48000.0}})):
        buffer = io.BytesIO()
        savemat(buffer, content)
        made[name] = buffer.getvalue()
    return made


def _audio_cases() -> st.SearchStrategy[Tree]:
    # A damaged .mat may end the process inside scipy; the recipe reads these in processes of their own.
    return st.one_of(
        [changed_files({name: content}) for name, content in _sounds().items() if not name.endswith(".mat")]
    )


def _read_audio(folder: Path, out: Path) -> None:
    from espnet_plugins.inference import audio as own_audio

    for path in folder.iterdir():
        own_audio.duration(path)
        _refused(
            folder,
            (audio.AudioError, ValueError),
            [
                partial(audio.read, path),
                partial(audio.read, path, channel=0, frames=100),
                partial(own_audio.read, path),
                partial(room_responses.load_response, path),
                partial(noise_folder.bring_to_rate, (noise_folder.Recording("x", "x", path), out / "x.flac")),
            ],
        )


# --- checkpoints

_SIZES = Dimensions(mels=8, context=16, width=8, heads=2, layers=1, inner=16)


def _saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _upstream() -> bytes:
    from torchaudio.models import wav2vec2_model

    sizes = {
        **TINY,
        "extractor_conv_layer_config": [[4, 10, 5], [4, 8, 64]],
        "encoder_embed_dim": 8,
        "encoder_num_layers": 1,
    }
    sizes |= {"encoder_num_heads": 2, "encoder_ff_interm_features": 8, "encoder_pos_conv_groups": 2}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "u.pt"
        save_upstream(path, architecture=sizes, state_dict=wav2vec2_model(**sizes, aux_num_out=None).state_dict())
        return path.read_bytes()


def _checkpoints() -> list[Tree]:
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    whisper = tiny_encoder(_SIZES).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        ctranslate2 = write_ctranslate2(Path(folder) / "model.bin", whisper, _SIZES).read_bytes()
        hugging = write_huggingface(Path(folder) / "hf", whisper, _SIZES)
        directory = {f"hf/{path.name}": path.read_bytes() for path in hugging.iterdir()}
    return [
        {"model.pth": _saved(state)},
        {"model.pth": _saved({"model": state, "reporter": {"epoch": 1}}, _use_new_zipfile_serialization=False)},
        {"upstream.pth": _upstream()},
        {"whisper.pt": _saved(openai_content(whisper, _SIZES))},
        {"model.bin": ctranslate2},
        directory,
    ]


def _checkpoint_cases() -> st.SearchStrategy[Tree]:
    return st.one_of([changed_files(tree) for tree in _checkpoints()])


def _read_checkpoints(folder: Path, out: Path) -> None:
    from espnet_plugins.inference.foreign import explain_denoiser_checkpoint

    for path in folder.rglob("*"):
        if path.is_file():
            is_intact(path)
            explain_denoiser_checkpoint(path)

        def upstream(path: Path = path) -> None:
            content = read_upstream(path)
            instantiate(content["architecture"], content["state_dict"], where=str(path))

        def whisper(path: Path = path) -> None:
            describe_whisper(path).build()

        _refused(folder, (ValueError, OSError), [partial(read_weights, path), upstream, whisper])


# --- archives to unpack


def _archives() -> dict[str, bytes]:
    members = {"top/a.txt": b"a" * 50, "top/b/c.txt": b"c", "__MACOSX/top/._a.txt": b"x", "meta.yaml": b"files: {}\n"}
    packed = {
        "meta.yaml": yaml.safe_dump(
            {"files": {"model_file": "m.pth"}, "yaml_files": {"train_config": "c.yaml"}}
        ).encode(),
        "m.pth": b"weights",
        "c.yaml": yaml.safe_dump({"separator": "tcn", "stats": "m.pth"}).encode(),
    }
    made = {}
    for name, content in (("plain", members), ("packed", packed)):
        for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", kind) as archive:
                for member, data in content.items():
                    archive.writestr(member, data)
            made[f"{name}{kind}.zip"] = buffer.getvalue()
        for mode, format in (
            ("w", tarfile.USTAR_FORMAT),
            ("w", tarfile.GNU_FORMAT),
            ("w:gz", tarfile.PAX_FORMAT),
            ("w:xz", tarfile.PAX_FORMAT),
            ("w:bz2", tarfile.GNU_FORMAT),
        ):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode, format=format) as archive:
                for member, data in content.items():
                    # A name that takes a header of its own.
                    info = tarfile.TarInfo(
                        member
                        if format == tarfile.USTAR_FORMAT
                        else f"{member}/{'n' * 120}"
                        if "c.txt" in member
                        else member
                    )
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
            made[f"{name}{format}.tar{mode[1:].replace(':', '.')}"] = buffer.getvalue()
    return made


def _hostile(names: list[str], kinds: list[int]) -> dict[str, bytes]:
    """Whole archives with names that lead elsewhere, links and devices."""
    tarred, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        for name, kind in zip(names, kinds, strict=True):
            info = tarfile.TarInfo(name)
            types = (
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.CHRTYPE,
                tarfile.FIFOTYPE,
            )
            info.type, info.linkname = types[kind % 6], names[0] if kind % 2 else "../../evil"
            archive.addfile(info)
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, kind in zip(names, kinds, strict=True):
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr = name, (0o120777 if kind % 6 == 2 else 0o644) << 16
            with contextlib.suppress(ValueError):
                archive.writestr(info, "../../evil")
    return {"a.tar": tarred.getvalue(), "a.zip": zipped.getvalue()}


def _archive_cases() -> st.SearchStrategy[Tree]:
    part = st.sampled_from(
        ("..", ".", "", "a", "b", "a b", "\\", "C:", "~", "evil", "x" * 260, "\u0041\u030a", "CON", "meta.yaml", "-rf")
    )
    name = st.lists(part, min_size=1, max_size=4).map("/".join).filter(lambda name: "\0" not in name and name != "")
    both = st.lists(st.tuples(name, st.integers(0, 5)), min_size=1, max_size=4)
    hostile = both.map(lambda pairs: _hostile([name for name, _ in pairs], [kind for _, kind in pairs]))
    return st.one_of(hostile, *[changed_files({name: content}) for name, content in _archives().items()])


def _read_archives(folder: Path, out: Path) -> None:
    from espnet_plugins.inference.pretrained import fetch_pretrained

    for path in sorted(folder.iterdir()):
        _refused(
            folder,
            (RecipeError, ValueError),
            [
                partial(unpack, path, out / "all"),
                partial(unpack, path, out / "some", take="top", only="a.txt"),
                partial(fetch_pretrained, path, cache=out / "cache"),
            ],
        )


# --- tables

_OWN = 'utt,clean,noisy,text,speaker,noise,snr\na1,a.wav,b.wav,"Yes, sir",a,hum,5\na2,a.wav,b.wav,No,a,hum,-2.5\n'
_SPOKEN = "utt;clean;speaker;text;part\na1;a.wav;a;Oui;x\na2;a.wav;a;;x\n"


def _tables() -> list[Tree]:
    sounds = _sounds()
    rest = {"a.wav": sounds["a.wav"], "b.wav": sounds["a.wav"]}
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le")
    return [{"own.csv": _OWN.encode(name), **rest} for name in encodings] + [{"spoken.csv": _SPOKEN.encode(), **rest}]


def _table_cases() -> st.SearchStrategy[Tree]:
    def changed(tree: Tree) -> st.SearchStrategy[Tree]:
        (name,) = (name for name in tree if name.endswith(".csv"))
        return changed_files({name: tree[name]}, text=True).map(lambda made: {**tree, **made})

    return st.one_of([changed(tree) for tree in _tables()])


def _read_tables(folder: Path, out: Path) -> None:
    with _in_this_process():
        for path in folder.glob("*.csv"):
            _refused(
                folder, RecipeError, [partial(csv_corpus.utterances, path), partial(clean_speech.from_table, path)]
            )


# --- presets


def _settings(name: str) -> dict:
    return yaml.safe_load((RECIPE_DIR / "conf" / name).read_text(encoding="utf-8"))


def _preset_cases() -> st.SearchStrategy[Tree]:
    presets = [
        _settings(f"presets/{name}.yaml") for name in ("mini", "noisy_speech", "whisper_small", "paper_mini", "digits")
    ]
    own = {
        "extends": "mini",
        "corpora": {"mini": None},
        "sets": {"a": {"corpus": "custom", "part": "x"}},
        "train": ["a"],
    }
    own |= {"dev": ["a"], "test": ["a"], "limits": {"max_seconds": 20}, "config": {"train_se": {"max_epoch": 1}}}
    registry = _settings("corpora.yaml")
    slurm = _settings("slurm.yaml")
    objective = _settings("objectives/ssl_mse.yaml")
    with_registry = {"registry.yaml": yaml.safe_dump(registry).encode()}
    text = (RECIPE_DIR / "conf" / "presets" / "mini.yaml").read_bytes()
    return st.one_of(
        *[changed_values(preset).map(yaml_file("preset.yaml")) for preset in [*presets, own]],
        changed_values(slurm).map(yaml_file("slurm.yaml")),
        changed_values(registry).map(yaml_file("registry.yaml")),
        changed_values(objective).map(yaml_file("conf/objectives/mine.yaml")),
        changed_files({"preset.yaml": text}, text=True),
        changed_files(with_registry, text=True),
    )


def _read_presets(folder: Path, out: Path) -> None:
    if (folder / "slurm.yaml").exists():
        load_cluster_config(folder / "slurm.yaml")
        return
    preset = folder / "preset.yaml"
    if not preset.exists():
        content = {"extends": "mini"}
        if (folder / "registry.yaml").exists():
            content["registry"] = str(folder / "registry.yaml")
        if (folder / "conf").exists():
            content["conf_dirs"] = [str(folder / "conf")]
        preset = out / "preset.yaml"
        out.mkdir()
        preset.write_text(yaml.safe_dump(content))
    words = [f"--{name}dir={out / name}" for name in ("data", "dump", "exp")]
    words += [f"--downloads={out / 'downloads'}", f"--preset={preset}", "--dry_run=true"]
    with mock.patch.dict(os.environ), contextlib.redirect_stdout(io.StringIO()), _in_this_process():
        run.run(parse(words))


# --- Kaldi directories


def _import_espnet() -> None:
    """Before a case: it takes longer than a case may."""
    import espnet_plugins.inference  # noqa: F401


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


def _kaldi_cases() -> st.SearchStrategy[Tree]:
    return changed_files(_kaldi(), text=True)


def _read_kaldi(folder: Path, out: Path) -> None:
    def lists() -> None:
        found = kaldi_dir.read(folder)
        kaldi_dir.write(out, kaldi_dir.combine({"x": found, "y": found}))

    _refused(
        folder,
        RecipeError,
        [lists, partial(score.read_hypotheses, folder / "hyp"), partial(phones.read_lexicon, folder / "lexicon")],
        names=("set '",),
    )


# --- corpus trees


def _trees() -> dict[str, Tree]:
    sounds = _sounds()
    wav, flac = sounds["a.wav"], sounds["e.flac"]
    names = ("p226_001", "p227_002")
    voicebank = {f"vb/{kind}_trainset_28spk_wav/{name}.wav": wav for kind in ("clean", "noisy") for name in names}
    voicebank |= {f"vb/trainset_28spk_txt/{name}.txt": b"Well, yes.\n" for name in names}
    voicebank["vb/logfiles/log_trainset_28spk.txt"] = b"p226_001 cafe 5\np227_002 babble 1.75e+01\n"
    stems = ("84-121123-0000", "84-121123-0001")
    speech = {f"ls/dev-clean/84/121123/{stem}.flac": flac for stem in stems}
    speech["ls/dev-clean/84/121123/84-121123.trans.txt"] = "".join(f"{stem} HE SAID\n" for stem in stems).encode()
    mixtures = {f"lm/wav16k/max/dev/{part}/{'_'.join(stems)}.wav": wav for part in ("mix_both", "s1", "s2", "noise")}
    mixtures["lm/wav16k/max/metadata/metrics_dev_mix_both.csv"] = (
        f"mixture_ID,source_1_SNR\n{'_'.join(stems)},3.5\n".encode()
    )
    row = f"{'_'.join(stems)},a/{stems[0]}.flac,0.7,a/{stems[1]}.flac,1.3,cv/00.wav,0.9\n"
    header = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
    digits = {f"digits/recordings/{digit}_theo_0.wav": wav for digit in range(10)}
    noisy = {
        "noisy/dev-clean_seen_noisy/manifest.csv": b"utterance,source,environment,start,snr,seed\n"
        + f"{stems[0]},dev-clean/84/121123/{stems[0]}.flac,TBUS,0,5,0\n".encode()
    }
    noisy[f"noisy/dev-clean_seen_noisy/84/121123/{stems[0]}.flac"] = flac
    return {
        "voicebank": voicebank,
        "librispeech": speech,
        "librimix": {**speech, **mixtures},
        "metadata": {"libri2mix.csv": (header + row).encode()},
        "digits": digits,
        "noise": {
            "noise/hum/1.wav": wav,
            "noise/rain.flac": flac,
            "noise/notes.txt": b"x",
            "rirs/a.wav": wav,
        },
        "noisy": {**speech, **noisy},
    }


def _tree_cases() -> st.SearchStrategy[Tree]:
    return st.one_of([changed_files(tree, text=True, most=3) for tree in _trees().values()])


def _read_trees(folder: Path, out: Path) -> None:
    librispeech.chapter_transcripts.cache_clear()
    readers: list[Callable[[], object]] = []
    if (folder / "vb").exists():
        options = {"dev_speakers": ("p226",), "rate": 16000}
        readers += [partial(voicebank_demand.utterances, folder / "vb", part, **options) for part in ("train", "dev")]
    if (folder / "ls").exists():
        readers += [
            partial(librispeech.utterances, folder / "ls", "dev-clean"),
            partial(clean_speech.from_tree, folder / "ls"),
        ]
    if (folder / "lm").exists():
        options = {"librispeech": folder / "ls", "type": "mix_both"}
        readers += [partial(librimix.utterances, folder / "lm", "dev", **options)]
    if (folder / "libri2mix.csv").exists():
        readers += [lambda: list(read_metadata(folder / "libri2mix.csv"))]
    if (folder / "digits").exists():
        readers += [partial(fsdd.recordings, folder / "digits")]
    if (folder / "noisy").exists():
        readers += [
            partial(noisy_librispeech.utterances, folder / "noisy", folder / "ls", part="dev-clean", kind="seen")
        ]
    if (folder / "noise").exists():
        readers += [partial(noise_folder.find_recordings, folder / "noise")]
    if (folder / "rirs").exists():
        readers += [
            lambda: [room_responses.load_response(path) for path in room_responses.find_responses(folder / "rirs")]
        ]
    with _in_this_process():
        _refused(folder, RecipeError, readers, names=("mixture ",))


@contextlib.contextmanager
def _in_this_process() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module in _PARALLEL:
            stack.enter_context(
                mock.patch.object(module, "parallel_map", lambda function, tasks, **_: map(function, tasks))
            )
        yield


_OPTIONS = ("preset", "config of stage", "set '", "--", "`", "noisy_speech", "corpora", "judge", "front")

TARGETS = {
    target.name: target
    for target in (
        Target("audio", _audio_cases, _read_audio, (ValueError, RecipeError), warm_up=_import_espnet),
        Target("checkpoints", _checkpoint_cases, _read_checkpoints, (ValueError, OSError), warm_up=_import_espnet),
        Target("archives", _archive_cases, _read_archives, (ValueError, RecipeError), warm_up=_import_espnet),
        Target("tables", _table_cases, _read_tables, (RecipeError,)),
        Target("presets", _preset_cases, _read_presets, (RecipeError,), names=_OPTIONS),
        Target("kaldi", _kaldi_cases, _read_kaldi, (RecipeError,), names=("set '",)),
        Target("trees", _tree_cases, _read_trees, (RecipeError,), names=("mixture ",)),
    )
}
