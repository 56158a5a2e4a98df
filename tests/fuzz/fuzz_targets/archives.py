"""Archives to unpack: damaged ones, and whole ones that mean harm."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import yaml
from fuzz_mutations import Tree, changed_files, changed_values
from hypothesis import strategies as st

from fuzz_targets.target import Target, call_all, import_espnet
from local.common.errors import RecipeError
from local.corpora.unpack import unpack

_META = {"files": {"model_file": "m.pth"}, "yaml_files": {"train_config": "c.yaml"}}
_CONFIG = {"separator": "tcn", "stats": "m.pth"}
_COMPRESS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
_EXPAND = {"gz": gzip.decompress, "xz": lzma.decompress, "bz2": bz2.decompress}


def _archives() -> dict[str, bytes]:
    members = {"top/a.txt": b"a" * 50, "top/b/c.txt": b"c", "__MACOSX/top/._a.txt": b"x", "meta.yaml": b"files: {}\n"}
    packed = {
        "meta.yaml": yaml.safe_dump(_META).encode(),
        "m.pth": b"weights",
        "c.yaml": yaml.safe_dump(_CONFIG).encode(),
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


def _changed_inside(name: str, content: bytes) -> st.SearchStrategy[Tree]:
    """Change what is compressed, and compress it anew: damage that no checksum shows."""
    kind = name.rpartition(".")[2]
    changed = changed_files({name: _EXPAND[kind](content)})
    return changed.map(lambda made: {key: _COMPRESS[kind](value or b"") for key, value in made.items()})


def _changed_model(name: str) -> st.SearchStrategy[Tree]:
    """A packed model, whole as an archive, with other values in one of its files."""

    def pack(made: object) -> Tree:
        content = {"meta.yaml": _META, "c.yaml": _CONFIG, name: made}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, value in content.items():
                archive.writestr(member, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace"))
            archive.writestr("m.pth", b"weights")
        return {"model.zip": buffer.getvalue()}

    return changed_values(_META if name == "meta.yaml" else _CONFIG).map(pack)


def _cases() -> st.SearchStrategy[Tree]:
    part = st.sampled_from(
        ("..", ".", "", "a", "b", "a b", "\\", "C:", "~", "evil", "x" * 260, "\u0041\u030a", "CON", "meta.yaml", "-rf")
    )
    name = st.lists(part, min_size=1, max_size=4).map("/".join).filter(lambda name: "\0" not in name and name != "")
    both = st.lists(st.tuples(name, st.integers(0, 5)), min_size=1, max_size=4)
    hostile = both.map(lambda pairs: _hostile([name for name, _ in pairs], [kind for _, kind in pairs]))
    archives = _archives()
    inside = [
        _changed_inside(name, content) for name, content in archives.items() if name.endswith(("gz", "xz", "bz2"))
    ]
    packed = [_changed_model(name) for name in ("meta.yaml", "c.yaml")]
    return st.one_of(hostile, *inside, *packed, *[changed_files({name: content}) for name, content in archives.items()])


def _read(folder: Path, out: Path) -> None:
    from espnet_plugins.inference.pretrained import fetch_pretrained

    for path in sorted(folder.iterdir()):
        call_all(
            folder,
            (RecipeError, ValueError),
            [
                partial(unpack, path, out / "all"),
                partial(unpack, path, out / "some", take="top", only="a.txt"),
                partial(fetch_pretrained, path, cache=out / "cache"),
            ],
        )


def _whole() -> list[Tree]:
    return [{name: content} for name, content in _archives().items()]


TARGET = Target("archives", _whole, _cases, _read, (ValueError, RecipeError), warm_up=import_espnet)
