"""What tests of several packages share: small upstreams with random weights, benchmark scripts, a Slurm."""

import importlib.util
import os
import sys

import pytest
import torch
from places import ROOT
from slurm_testbed import start_testbed
from tiers import fast_tier, longest_first, second_stack
from tiny_architectures import TINY

import espnet_plugins  # noqa: F401  (before a test imports ESPnet, which would fetch data)
from espnet_plugins.extensions import FOLDERS, MODULES


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    """Tests of no other tier are unit tests; the fast tier, the second stack's and the longest are listed in files."""
    fast, second = fast_tier(), second_stack()
    for item in items:
        if item.nodeid.startswith(second):
            item.add_marker("second_stack")
        if not any(item.get_closest_marker(tier) for tier in ("recipe", "pages", "slurm", "install", "gpu", "browser")):
            item.add_marker("unit")
            if item.nodeid.startswith(fast):
                item.add_marker("fast")
    yield
    # Behind the choice of tests by -m and -k, since it is those that are dealt out.
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = longest_first(items, workers=workers, name=lambda item: item.nodeid)


@pytest.fixture(scope="session")
def make_upstream(tmp_path_factory):
    """Give a function that writes a small upstream file: make_upstream(normalize_waveform=False, **architecture)."""
    from torchaudio import models

    from espnet_plugins.ssl import save_upstream
    from espnet_plugins.ssl.positions import OPTIONS, set_positions

    written = {}

    def make(*, normalize_waveform=False, edit=None, **changes):
        key = repr((normalize_waveform, edit, sorted(changes.items())))
        if key not in written:
            architecture = {**TINY, **changes}
            positions = {name: architecture[name] for name in OPTIONS if name in architecture}
            options = {name: value for name, value in architecture.items() if name not in OPTIONS}
            factory = models.wavlm_model if "encoder_num_buckets" in architecture else models.wav2vec2_model
            with torch.random.fork_rng():
                torch.manual_seed(1)
                model = factory(**options, aux_num_out=None)
                set_positions(model, **positions)
                if edit is not None:
                    edit(model)
            path = tmp_path_factory.mktemp("upstream") / "tiny.pt"
            save_upstream(
                path,
                architecture=architecture,
                state_dict=model.state_dict(),
                normalize_waveform=normalize_waveform,
            )
            written[key] = path
        return written[key]

    return make


@pytest.fixture(scope="session")
def load_benchmark():
    """Give a function that loads a script of benchmarks/ as a module: load_benchmark("positions")."""

    def load(name):
        path = ROOT / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def batch():
    """A padded batch of noise: waveform (3, 16000) and lengths; random values stand behind the ends."""
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(3, 16000, generator=generator), torch.tensor([9000, 16000, 12345])


@pytest.fixture(scope="session")
def testbed():
    """A Slurm of two nodes."""
    bed = start_testbed("--nodes", "2")
    yield bed
    bed.control("stop")
    assert not bed.root.exists()


@pytest.fixture(autouse=True)
def modules_of_ones_own():
    """What a test announces to the processes that it starts ends with the test: later ones lack its folder."""
    before = {name: os.environ.get(name) for name in (MODULES, FOLDERS)}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
