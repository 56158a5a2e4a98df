"""Metadata of the package; what the recipe installs is pinned in tools/requirements.lock."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet-plugins-ssl-enh",
    version="0.1.0",
    description="Position-invariant fine-tuning of speech enhancement through frozen SSL models, for ESPnet",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_plugins", "espnet_plugins.*"]),
    package_data={"espnet_plugins.analysis.report": ["templates/*"]},
    python_requires=">=3.10",
    install_requires=["torch>=2.6", "numpy"],
    extras_require={
        # The soft-DTW package needs torch alone; its compiled backends are optional.
        "numba": ["numba"],
        "triton": ["triton; sys_platform == 'linux'"],
        "espnet": ["espnet==202511", "torchaudio", "kaldiio", "sentencepiece", "pyyaml", "soundfile", "matplotlib"],
        "hf": ["transformers"],
        # Scoring of several speakers; has no wheels, and compiling it takes a minute.
        "multispeaker": ["meeteval"],
        # Scoring without a reference, where the networks are at hand.
        "dnsmos": ["onnxruntime", "librosa", "requests", "torchmetrics"],
        "bench": ["numba", "pysdtw", "tslearn"],
    },
)
