"""Check that this interpreter has what the recipe imports; name what is missing and how to get it."""

import importlib
import sys

# Versions that were tested together (tools/stacks).
if sys.version_info < (3, 12):
    ESPNET, TORCH, TORCHAUDIO = "202511", "2.11.0", "2.11.0"
else:
    ESPNET, TORCH, TORCHAUDIO = "202611", "2.14.1", "2.11.1"
# Module -> the name under which PyPI has it.
NEEDED = {
    "torch": f"torch=={TORCH}",
    "torchaudio": f"torchaudio=={TORCHAUDIO}",
    "espnet2": f"espnet=={ESPNET}",
    # Of ESPnet's extra `enh`, a part of it before 202611.
    "fast_bss_eval": "fast-bss-eval==0.1.3",
    "ci_sdr": "ci-sdr",
    **({"kaldiio": "kaldiio"} if ESPNET == "202511" else {"omniio": "omniio"}),
    "sentencepiece": "sentencepiece",
    "yaml": "pyyaml",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "espeakng_loader": "espeakng-loader",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "tensorboard": "tensorboard",
    "numba": "numba",
    "jiwer": "jiwer",
    "pesq": "pesq",
    "pystoi": "pystoi",
    "tqdm": "tqdm",
    "espnet_plugins": "-e . (this repository)",
}


def main() -> None:
    """Import everything; exit 1 with the list of what failed."""
    if sys.version_info < (3, 10):  # noqa: UP036  (an interpreter of the user's own may be older)
        sys.exit(f"python 3.10 or later is needed, this is {sys.version.split()[0]}")
    missing = []
    for module, requirement in NEEDED.items():
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            missing.append(f"  {requirement}: {error}")
    if missing:
        sys.exit(f"{sys.executable} lacks:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
