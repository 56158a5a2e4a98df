"""Pre-train a HuBERT.

Takes every option of espnet2.bin.hubert_train.
"""

from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.tasks import PretrainTask


def main(cmd=None):
    """Run the task with the arguments of the command line, or with `cmd`."""
    check_ngpu(PretrainTask.get_parser(), cmd, program="hubert_train")
    PretrainTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
