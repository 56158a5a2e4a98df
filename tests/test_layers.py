"""A room imports only from the rooms below it (docs/pictures/rooms.yaml): library, analysis, recipe."""

import ast

import pytest
import yaml
from places import RECIPE, ROOT

# building -> room -> the rooms it may import, besides itself.
ALLOWED = {
    building: {room: below for room, (_, below) in rooms.items()}
    for building, rooms in yaml.safe_load((ROOT / "docs" / "pictures" / "rooms.yaml").read_text("utf-8")).items()
}
# Rooms of the library that must not know ESPnet.
WITHOUT_ESPNET = (
    "contents",
    "truncation",
    "soft_dtw",
    "ssl",
    "perturb",
    "analysis",
    "atomic",
    "checks",
    "weights",
    "schedule",
    "imports",
    "offline",
    "typechecks",
)
FOLDERS = {"espnet_plugins": ROOT / "espnet_plugins", "local": RECIPE / "local"}
MODULES = {
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)): path
    for package, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_in(building, name):
    """The room of `building` that a module or an imported name lies in; None when it lies elsewhere or in no room."""
    rest = name.removeprefix(f"{building}.")
    room = rest.split(".")[0]
    return None if rest == name or room == "__init__" else room


def is_module(building, room):
    return any(name == f"{building}.{room}" or name.startswith(f"{building}.{room}.") for name in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    for building, rooms in ALLOWED.items():
        room = room_in(building, module)
        if room is None:
            continue
        assert room in rooms, f"{building}.{room} is no known room: add it to docs/pictures/rooms.yaml"
        for name in imports_of(MODULES[module]):
            other = room_in(building, name)
            if other not in (None, room) and is_module(building, other):
                assert other in rooms[room].split(), f"{building}.{room} must not import {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("espnet_plugins.")])
def test_the_library_knows_neither_the_recipe_nor_more_of_espnet_than_it_needs(module):
    for name in imports_of(MODULES[module]):
        top = name.split(".")[0]
        assert top != "local", "the library must not know the recipe"
        if room_in("espnet_plugins", module) in WITHOUT_ESPNET:
            assert top not in ("espnet", "espnet2"), f"{module} must not import ESPnet"


def test_no_arrow_points_up():
    for building, rooms in ALLOWED.items():
        below = {room: set(names.split()) for room, names in rooms.items()}
        assert set().union(*below.values()) <= below.keys(), building
        while below:
            ground = {room for room, names in below.items() if not names & below.keys()}
            assert ground, f"{building}: a circle among {', '.join(below)}"
            below = {room: names for room, names in below.items() if room not in ground}
