"""Sound."""

import numpy as np
import pytest


@pytest.fixture
def speech():
    """One second of noise, (16000,) in float32."""
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
