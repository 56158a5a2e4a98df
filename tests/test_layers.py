"""A room of the library imports only from the floors below it (docs/architecture.md)."""

import ast

import pytest
from places import ROOT

PACKAGE = ROOT / "espnet_plugins"
# Room -> the rooms of this package it may import.
ALLOWED = {
    "soft_dtw": set(),
    "ssl": {"atomic"},
    "perturb": set(),
    "atomic": set(),
    "checks": set(),
    "weights": set(),
    "curriculum": {"checks"},
    "recurrent": set(),
    "objectives": {"soft_dtw", "ssl", "perturb", "checks", "weights", "recurrent", "curriculum"},
    "asr": {"ssl", "checks"},
    "enh": {"checks", "curriculum"},
    "train": {"atomic", "curriculum"},
    "pretrain": {"ssl"},
    "register": {"objectives", "asr", "enh", "pretrain"},
    "tasks": {"register", "ssl", "asr", "enh", "train", "checks", "weights", "recurrent"},
    "inference": {"tasks", "register", "enh", "atomic", "checks", "weights"},
    "bin": {"tasks", "register", "ssl", "asr", "enh", "train", "inference", "objectives", "analysis", "atomic"},
    "analysis": {"soft_dtw", "ssl", "perturb"},
}
# Rooms that must not know ESPnet.
WITHOUT_ESPNET = ("soft_dtw", "ssl", "perturb", "analysis", "atomic", "checks", "weights", "curriculum")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ALLOWED, f"{room} is no known room: add it here and to docs/architecture.md"
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "espnet_plugins" and len(parts) > 1 and parts[1] != room:
            assert parts[1] in ALLOWED[room], f"{room} must not import {name}"
        if room in WITHOUT_ESPNET:
            assert parts[0] not in ("espnet", "espnet2"), f"{room} must not import ESPnet"
        assert parts[0] != "local", "the library must not know the recipe"
