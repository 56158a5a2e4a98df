"""Settings for small jobs on the Slurm of these tests."""

import pytest


@pytest.fixture
def config(testbed, tmp_path):
    """A configuration whose jobs are small."""
    return testbed.config(tmp_path / "slurm.yaml")
