"""What is made once for all of the processes that share the tests."""

import os

from filelock import FileLock


def once(tmp_path_factory, name, make):
    """Give the folder `name` and the text that `make(folder)` gave, made by the process that needs it first.

    What failed is not tried again: the others fail with the same message.

    Args:
        tmp_path_factory: pytest's.
        name: Of the folder, unique among the tests.
        make: Fills the folder, which is not there yet, and returns a text.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    text, failed = shared / f"{name}.txt", shared / f"{name}.failed"
    with FileLock(shared / f"{name}.lock"):
        if not text.exists() and not failed.exists():
            try:
                content = make(shared / name)
            except Exception as error:
                failed.write_text(str(error), encoding="utf-8")
                raise
            text.write_text(content, encoding="utf-8")
    assert not failed.exists(), failed.read_text(encoding="utf-8")
    return shared / name, text.read_text(encoding="utf-8")
