"""Settings for small jobs on the Slurm of these tests."""

import pytest
from slurm_testbed import write_small_config


@pytest.fixture
def config(tmp_path):
    """A configuration whose jobs are small."""
    return write_small_config(tmp_path / "slurm.yaml")
