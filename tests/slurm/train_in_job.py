"""What local.stages.train does in a job, on a test's data and configuration: train_in_job.py DATA CONFIG OUT"""

import sys
from pathlib import Path

import yaml

from local.common.program import run_main
from local.jobs.processes import Program, run_programs
from local.stages.espnet_commands import JOINT_DATA, training_command


def main() -> None:
    """Train; resume what is there."""
    data, config, out = map(Path, sys.argv[1:])
    command = training_command(
        "enh_s2t_train",
        config=yaml.safe_load(config.read_text()),
        out=out,
        train=data,
        valid=data,
        data=JOINT_DATA,
        ngpu=0,
        resume=True,
        extra=["--text_name", "text_spk1"],
    )
    run_programs([Program("training", command, out / "train.log")], nj=1)


if __name__ == "__main__":
    run_main(main)
