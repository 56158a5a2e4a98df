"""What the how-tos let a reader write does not get into each other's way."""

import re

from places import ROOT


def test_no_two_of_them_name_one_preset():
    """A preset's name is that of its folders: two under one name would share data, dump and experiment."""
    pages = sorted((ROOT / "docs" / "howto").glob("*.md"))
    named = [name for page in pages for name in {*re.findall(r"/path/to/(\w+)\.yaml", page.read_text())}]
    assert len(named) >= 2
    assert len(named) == len(set(named))
