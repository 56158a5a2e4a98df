"""The table of stages: number, what a stage makes, what kind of jobs it consists of."""

from __future__ import annotations

import enum


class Stage(enum.IntEnum):
    """A stage of run.sh. Its jobs are listed in local/pipeline/pipeline.py.

    Example:
        >>> Stage.SCORING.makes, Stage.SCORING.kind, f"[stage {Stage.SCORING}]"
        ('scoring', 'cpu', '[stage 7]')
    """

    makes: str
    kind: str

    def __new__(cls, number: int, makes: str, kind: str) -> Stage:
        """Args: its number; what it makes; one of local.jobs.resources.KINDS."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.makes, member.kind = makes, kind
        return member

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    # run.sh --help reads these lines.
    CORPORA = 1, "corpora", "cpu"
    DATA = 2, "data, tokens, SSL model", "cpu"
    ENHANCEMENT = 3, "front-end", "train"
    RECOGNITION = 4, "recognizer", "train"
    FINETUNING = 5, "joint fine-tuning", "train"
    DECODING = 6, "enhancement and decoding", "decode"
    SCORING = 7, "scoring", "cpu"
    REPORT = 8, "report", "cpu"
    PACKING = 9, "models packed with their cards", "cpu"
    UPLOAD = 10, "upload to a hub (--upload_repo)", "cpu"
