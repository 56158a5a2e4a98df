"""Trained models of the smallest size, on disk."""

import numpy as np
import pytest
from joint_configuration import joint_settings, save_experiment


@pytest.fixture(scope="session")
def save_joint(make_upstream, tmp_path_factory):
    """Leave a joint training over frozen_ssl with some settings; gives its folder."""

    def save(name, **settings):
        folder = tmp_path_factory.mktemp(name)
        upstream = {"model": "local", "checkpoint": str(make_upstream())}
        save_experiment(joint_settings(upstream, **settings), folder)
        return folder

    return save


@pytest.fixture(scope="session")
def joint_folder(save_joint):
    """A joint training over frozen_ssl."""
    return save_joint("joint", asr_weight=0.5)


@pytest.fixture(scope="session")
def two_speaker_folder(save_joint):
    """A joint training of two speakers."""
    return save_joint("two", num_spk=2)


@pytest.fixture
def speech():
    """One second of noise, (16000,) in float32."""
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
