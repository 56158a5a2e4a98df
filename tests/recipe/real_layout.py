"""The real corpora's archives, with their names and layouts and a few short files, and a registry for them."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import soundfile
import yaml

from local.common.recipe import RECIPE_DIR
from local.corpora.demand import ENVIRONMENTS

RNG = np.random.default_rng(0)

VOICEBANK = {
    "trainset_28spk": ["p226_001", "p226_002", "p227_005", "p227_006", "p228_001", "p287_003"],
    "testset": ["p232_001", "p232_002", "p257_007"],
}
# part -> speaker -> chapter; two utterances each. Speaker 60 is the one with a separator in the name.
LIBRISPEECH = {
    "train-clean-100": {"60": "121082", "103": "1240"},
    "dev-clean": {"84": "121123", "2277": "149874"},
    "test-clean": {"61": "70968", "1089": "134686"},
}
SPLITS = {"train-clean-100": "tr", "dev-clean": "cv", "test-clean": "tt"}
SPEAKERS = """; Some pipe(|) separated data
;ID  |SEX| SUBSET           |MINUTES| NAME
60   | M | train-clean-100  | 20.18 | 86 | Jonathan H.
61   | M | test-clean       | 8.08  | Paul-Gabriel Wiener
"""


def sound(seconds, rate, *, channels=1, suffix="WAV"):
    """A file of noise as bytes."""
    shape = (int(seconds * rate), channels) if channels > 1 else int(seconds * rate)
    buffer = io.BytesIO()
    soundfile.write(buffer, RNG.integers(-3000, 3000, shape).astype(np.int16), rate, format=suffix)
    return buffer.getvalue()


def zipped(members):
    """A zip with what a Macintosh adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
            archive.writestr(f"__MACOSX/{name.rsplit('/', 1)[0]}/._{name.rsplit('/', 1)[-1]}", b"rubbish")
    return buffer.getvalue()


def tarred(members):
    """A compressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def voicebank_demand():
    """Archive name -> bytes."""
    archives = {}
    logs = {}
    for part, names in VOICEBANK.items():
        lengths = {name: 0.5 + 0.01 * i for i, name in enumerate(names)}
        for kind in ("clean", "noisy"):
            folder = f"{kind}_{part}_wav"
            archives[f"{folder}.zip"] = zipped({f"{folder}/{n}.wav": sound(lengths[n], 48000) for n in names})
        texts = {f"{part}_txt/{name}.txt": "It's one-third full, Mr Brown.\n" for name in names}
        archives[f"{part}_txt.zip"] = zipped(texts)
        lines = [f"{n} cafe 1.750000e+01" if part == "testset" else f"{n} babble 5" for n in names]
        logs[f"log_{part}.txt"] = "\n".join(lines) + "\n"
    archives["logfiles.zip"] = zipped({"log_readme.txt": "read me", **logs})
    return archives


def librispeech():
    """Archive name -> bytes."""
    archives = {}
    for part, speakers in LIBRISPEECH.items():
        members = {"LibriSpeech/SPEAKERS.TXT": SPEAKERS.encode(), "LibriSpeech/README.TXT": b"read me"}
        for speaker, chapter in speakers.items():
            folder = f"LibriSpeech/{part}/{speaker}/{chapter}"
            stems = [f"{speaker}-{chapter}-{i:04d}" for i in (0, 3)]
            for stem in stems:
                members[f"{folder}/{stem}.flac"] = sound(0.8 + RNG.random() / 3, 16000, suffix="FLAC")
            members[f"{folder}/{speaker}-{chapter}.trans.txt"] = "".join(f"{s} HE SAID SO\n" for s in stems).encode()
        archives[f"{part}.tar.gz"] = tarred(members)
    return archives


def wham_noise():
    """Archive name -> bytes; two-channel noises, one of them shorter than any mixture."""
    noises = {}
    for part in SPLITS.values():
        for i in range(3):
            noises[f"wham_noise/{part}/0{i}.wav"] = sound(0.6 if i == 1 else 1.5, 16000, channels=2)
    return {"wham_noise.zip": zipped(noises)}


def librimix_metadata(name):
    """Archive name -> bytes; the first source comes twice in dev and test, as in the published files."""
    top = name.removesuffix(".zip")
    members = {f"{top}/README.md": b"read me", f"{top}/metadata/Libri2Mix/Storage_info.txt": b"info"}
    members[f"{top}/metadata/Libri3Mix/Storage_info.txt"] = b"info"
    for part, speakers in LIBRISPEECH.items():
        (a, chapter_a), (b, chapter_b) = speakers.items()
        first = [
            f"{part}/{a}/{chapter_a}/{a}-{chapter_a}-{i:04d}.flac" for i in (0, 0 if part != "train-clean-100" else 3)
        ]
        second = [f"{part}/{b}/{chapter_b}/{b}-{chapter_b}-{i:04d}.flac" for i in (0, 3)]
        text = io.StringIO()
        writer = csv.writer(text)
        gains = ["source_1_path", "source_1_gain", "source_2_path", "source_2_gain", "noise_path", "noise_gain"]
        writer.writerow(["mixture_ID", *gains])
        for i, (one, two) in enumerate(zip(first, second, strict=True)):
            stems = "_".join(path.rsplit("/", 1)[1].removesuffix(".flac") for path in (one, two))
            writer.writerow([stems, one, 0.7, two, 1.3, f"{SPLITS[part]}/0{i}.wav", 0.9])
        members[f"{top}/metadata/Libri2Mix/libri2mix_{part}.csv"] = text.getvalue()
    return {name: zipped(members)}


def demand():
    """Archive name -> bytes; SCAFE at 48 kHz alone."""
    archives = {}
    for environment in ENVIRONMENTS:
        rate = 48 if environment == "SCAFE" else 16
        channels = {f"{environment}/ch{i:02d}.wav": sound(2.5, 1000 * rate) for i in (1, 2)}
        archives[f"{environment}_{rate}k.zip"] = zipped(channels)
    return archives


def publish(server, registry):
    """Serve all archives and write a registry with their addresses, sizes, checksums and counts.

    Args:
        server: A FileServer.
        registry: The YAML file to write.
    """
    content = yaml.safe_load((RECIPE_DIR / "conf" / "corpora.yaml").read_text())
    metadata = content["librimix_metadata"]["archives"][0]["name"]
    made = {**voicebank_demand(), **librispeech(), **wham_noise(), **librimix_metadata(metadata), **demand()}
    for entry in content.values():
        for archive in entry["archives"]:
            archive["urls"] = [server.url]
            if archive["name"] in made:
                data = made[archive["name"]]
                server.files[archive.get("file", archive["name"])] = data
                archive |= {"bytes": len(data), "unpacked": 3 * len(data)}
                archive["checksum"] = f"md5:{hashlib.md5(data).hexdigest()}"
    counts = {part: {} for part in VOICEBANK}
    for part, names in VOICEBANK.items():
        for name in names:
            counts[part][name[:4]] = counts[part].get(name[:4], 0) + 1
    content["voicebank_demand"]["speakers"] = counts
    content["librispeech"]["utterances"] = dict.fromkeys(LIBRISPEECH, 4)
    content["wham_noise"]["utterances"] = dict.fromkeys(SPLITS.values(), 3)
    content["librimix_metadata"]["utterances"] = {f"Libri2Mix/libri2mix_{part}.csv": 2 for part in LIBRISPEECH}
    registry.write_text(yaml.safe_dump(content))
