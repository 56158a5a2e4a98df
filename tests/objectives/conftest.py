"""What tests of the objectives share: options of a small upstream, a padded batch and an estimate of it."""

import pytest
import torch


@pytest.fixture
def options(make_upstream):
    return {"upstream": {"model": "local", "checkpoint": str(make_upstream())}}


@pytest.fixture
def pair(batch):
    reference, lengths = batch
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(1))
    return reference, (reference + 0.05 * noise).requires_grad_(), lengths
