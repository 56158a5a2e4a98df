"""docs/versions.md says what the locks hold."""

import re

import pytest
from places import ROOT

PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([\w-]+) \| (\d[^|]*) \| (\d[^|]*) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("column", "stack"), enumerate(("espnet202511", "espnet202611"), start=1))
def test_versions_are_those_of_the_locks(column, stack):
    lock = (ROOT / "tools" / "stacks" / f"{stack}.lock").read_text(encoding="utf-8")
    assert len(ROWS) >= 8
    for row in ROWS:
        for version in row[column].strip().split(", "):
            assert f"\n{row[0]}=={version} " in lock, (row[0], version)
