"""Train front-end and recognizer jointly.

Takes every option of espnet2.bin.enh_s2t_train.
"""

from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.tasks import JointTask


def main(cmd=None):
    """Run the task with the arguments of the command line, or with `cmd`."""
    check_ngpu(JointTask.get_parser(), cmd, program="enh_s2t_train")
    JointTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
