"""Broken input as hypothesis draws it: files with bytes, lines or values changed, trees with files moved about."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

# A folder's files by their paths in it; None stands for a folder where a file was.
Tree = Mapping[str, bytes | None]

_NUMBERS = (0, 1, 2, 4, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_PLACES = st.one_of(st.integers(0, 127), st.integers(-64, -1), st.integers(128, 2**16))
WORDS = (
    *(b"", b"\0", b"\n", b"\r", b"\t", b" ", b"  ", b",", b";", b'"', b"'", b"\\", b"/", b"..", b"-", b"_", b"."),
    *(b"\xff", b"\xef\xbb\xbf", b"\xe9", b"\xc2\x85", b"\xe2\x80\xa8", b"\x0c", b"\x1c", "\u0915\u094d".encode()),
    *(b"nan", b"inf", b"-1", b"0", b"1e999", b"1,5", b"9" * 5000, b"x" * 300, b"null", b"sep=,", b'sep="\n'),
    *(b"../../evil", b"/evil", b"C:\\evil", b"|", b"a b", b"%s", b"{}", b"[", b"&a", b"*a", b"!!python/name:os.system"),
)
_VALUES = (
    *(None, True, False, 0, 1, -1, 3, 0.5, 1e999, "", " ", "x", "a b", "/", "..", "\0", "9" * 5000, "train", "test"),
    *([], [[]], [None], ["x", "x"], {}, {"x": {}}, {"corpus": "x"}, {1: 2}, "custom", "noisy_speech"),
)


def _place(where: int, size: int) -> int:
    """A place in `size`: from the start, from the end, or a share of it."""
    if where < 0:
        return max(size + where, 0)
    return min(where, size) if where < 128 else where * size // 2**16


def _changed_bytes(content: bytes, edit: tuple[str, int, int, int]) -> bytes:
    kind, where, number, size = edit
    at = _place(where, len(content))
    if kind == "cut":
        return content[:at]
    if kind == "delete":
        return content[:at] + content[at + size :]
    if kind == "repeat":
        return content[: at + size] + content[at:]
    if kind == "flip":
        return content[:at] + bytes(byte ^ (1 << number % 8) for byte in content[at : at + 1]) + content[at + 1 :]
    if kind == "number":
        value = struct.pack("<Q", _NUMBERS[number % len(_NUMBERS)])[: (1, 2, 4, 8)[size % 4]]
        value = value[::-1] if number % 2 else value
        return content[:at] + value + content[at + len(value) :]
    word = WORDS[number % len(WORDS)]
    if kind == "insert":
        return content[:at] + word + content[at:]
    lines = content.split(b"\n")
    line = at % len(lines)
    changed = {"no line": [], "twice": [lines[line]] * 2, "word": [word], "swap": [lines[-1]]}[kind]
    return b"\n".join([*lines[:line], *changed, *lines[line + 1 :]])


_BINARY = ("cut", "delete", "repeat", "flip", "number", "number", "insert")
_TEXT = ("cut", "delete", "repeat", "insert", "insert", "no line", "twice", "word", "swap")


def changed_files(tree: Tree, *, text: bool = False, most: int = 4) -> st.SearchStrategy[Tree]:
    """Change bytes (or lines) of the files of a folder, and now and then a file as such.

    Args:
        tree: What is whole.
        text: Whether lines are changed, too.
        most: So many changes at most.
    """
    names = sorted(name for name, content in tree.items() if content is not None)
    edits = st.tuples(
        st.sampled_from(_TEXT + _BINARY if text else _BINARY), _PLACES, st.integers(0, 255), st.integers(1, 64)
    )
    moves = st.sampled_from(("empty", "gone", "folder", "renamed", "copied"))
    change = st.tuples(st.sampled_from(names), st.one_of(edits, edits, edits, moves) if len(names) > 1 else edits)

    def apply(changes: Sequence[tuple[str, Any]]) -> Tree:
        made = dict(tree)
        for name, edit in changes:
            if made.get(name) is None:
                continue
            content = made[name] or b""
            if isinstance(edit, tuple):
                made[name] = _changed_bytes(content, edit)
            elif edit == "empty":
                made[name] = b""
            elif edit == "folder":
                made[name] = None
            elif edit == "gone":
                del made[name]
            else:
                stem, dot, ending = name.rpartition(".")
                made[f"{stem or name}_b{dot}{ending if stem else ''}"] = content
                if edit == "renamed":
                    del made[name]
        return made

    return st.lists(change, min_size=1, max_size=most).map(apply)


def changed_values(settings: Any, *, most: int = 3) -> st.SearchStrategy[Any]:
    """Change, take away, rename or add values anywhere in nested settings, as YAML holds them.

    Args:
        settings: Mappings and lists.
        most: So many changes at most.
    """
    change = st.tuples(
        st.lists(st.integers(0, 63), min_size=1, max_size=4), st.sampled_from(("put", "put", "drop", "rename", "add"))
    )
    value = st.one_of(
        st.sampled_from(_VALUES), st.recursive(st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=3))
    )

    def apply(changes: Sequence[tuple[tuple[list[int], str], Any]]) -> Any:
        made = yaml.safe_load(yaml.safe_dump(settings))
        for (path, how), new in changes:
            node = made
            for step in path[:-1]:
                inner = _child(node, step)
                if not isinstance(inner, (dict, list)) or not inner:
                    break
                node = inner
            _edit(node, path[-1], how, copy.deepcopy(new))
        return made

    return st.lists(st.tuples(change, value), min_size=1, max_size=most).map(apply)


def _child(node: Any, step: int) -> Any:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    return node[keys[step % len(keys)]] if len(keys) else None


def _edit(node: Any, step: int, how: str, new: Any) -> None:
    if not node:
        return
    key = list(node)[step % len(node)] if isinstance(node, dict) else step % len(node)
    if how == "put" or (how == "rename" and isinstance(node, list)):
        node[key] = new
    elif how == "drop":
        del node[key]
    elif isinstance(node, list):
        node.append(new)
    elif how == "rename":
        node[f"{key}_"] = node.pop(key)
    else:
        node[f"own{step}"] = new


def yaml_file(name: str, rest: Tree | None = None) -> Callable[[Any], Tree]:
    """Give a function that makes a tree of settings and some other files."""
    return lambda settings: {
        **(rest or {}),
        name: yaml.safe_dump(settings, allow_unicode=True).encode("utf-8", "replace"),
    }
