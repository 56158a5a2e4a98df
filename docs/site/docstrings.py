"""Docstrings here say "Example:", as one example is the rule; the site renders sections called "Examples:" as code."""

from __future__ import annotations

import re

import griffe


class ExampleSections(griffe.Extension):
    """Give the sections with examples the name that the site's parser knows."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rename the section in the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
