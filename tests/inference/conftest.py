"""Trained models of the smallest size, on disk."""

import numpy as np
import pytest
from joint_configuration import joint_settings, save_experiment


@pytest.fixture(scope="session")
def joint_folder(make_upstream, tmp_path_factory):
    """A joint training over frozen_ssl."""
    folder = tmp_path_factory.mktemp("joint")
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    save_experiment(joint_settings(upstream, asr_weight=0.5), folder)
    return folder


@pytest.fixture(scope="session")
def two_speaker_folder(make_upstream, tmp_path_factory):
    """A joint training of two speakers."""
    folder = tmp_path_factory.mktemp("two")
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    save_experiment(joint_settings(upstream, num_spk=2), folder)
    return folder


@pytest.fixture
def speech():
    """One second of noise, (16000,) in float32."""
    return (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
