"""What the tests of Demucs share: published names and shapes, small configurations, padded batches."""

import torch

from espnet_plugins.enh.demucs import Demucs

# Constructor options that change the computation, in small.
CONFIGURATIONS = {
    "causal": {},
    "both directions": {"causal": False},
    "valentini_nc": {"causal": False, "stride": 2, "resample": 2},
    "no resampling": {"resample": 1},
    "odd sizes": {"stride": 3, "kernel_size": 7, "depth": 3, "resample": 2},
    "kernel 4 stride 3": {"stride": 3, "kernel_size": 4, "depth": 2, "resample": 4, "causal": False},
    "ReLU": {"glu": False, "depth": 3},
    "as loud as it comes": {"normalize": False},
    "bounded": {"growth": 1.5, "max_hidden": 9, "rescale": 0, "floor": 0.1},
}


def build(options, *, cls=Demucs, dtype=torch.float32):
    """A small model with biases and weights that matter; the same for the same options."""
    torch.manual_seed(0)
    return cls(**{"hidden": 4, **options}).to(dtype).eval()


def noise(*shape, seed=1, dtype=torch.float32):
    """Noise of about the level of speech, with a mean."""
    generator = torch.Generator().manual_seed(seed)
    return (0.1 * torch.randn(*shape, generator=generator, dtype=torch.float64) + 0.02).to(dtype)


def published_shapes(hidden):
    """Names and shapes of the published state dicts of causal models, written out from their description."""
    shapes = {}
    sizes = [hidden * 2**k for k in range(5)]
    for i, (c_in, h) in enumerate(zip([1, *sizes], sizes, strict=False)):
        shapes |= {f"encoder.{i}.0.weight": (h, c_in, 8), f"encoder.{i}.0.bias": (h,)}
        shapes |= {f"encoder.{i}.2.weight": (2 * h, h, 1), f"encoder.{i}.2.bias": (2 * h,)}
    for j, (g, g_out) in enumerate(zip(sizes[::-1], [*sizes[-2::-1], 1], strict=True)):
        shapes |= {f"decoder.{j}.0.weight": (2 * g, g, 1), f"decoder.{j}.0.bias": (2 * g,)}
        shapes |= {f"decoder.{j}.2.weight": (g, g_out, 8), f"decoder.{j}.2.bias": (g_out,)}
    for layer in (0, 1):
        shapes |= {f"lstm.lstm.weight_{kind}_l{layer}": (4 * sizes[-1], sizes[-1]) for kind in ("ih", "hh")}
        shapes |= {f"lstm.lstm.bias_{kind}_l{layer}": (4 * sizes[-1],) for kind in ("ih", "hh")}
    return shapes
