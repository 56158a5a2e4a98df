"""Train an enhancement front-end.

Takes every option of espnet2.bin.enh_train.
"""

from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.tasks import EnhTask


def main(cmd=None):
    """Run the task with the arguments of the command line, or with `cmd`."""
    check_ngpu(EnhTask.get_parser(), cmd, program="enh_train")
    EnhTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
