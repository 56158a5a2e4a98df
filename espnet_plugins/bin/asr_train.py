"""Train a recognizer over the frozen SSL front-end.

Takes every option of espnet2.bin.asr_train.
"""

from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.tasks import RecognitionTask


def main(cmd=None):
    """Run the task with the arguments of the command line, or with `cmd`."""
    check_ngpu(RecognitionTask.get_parser(), cmd, program="asr_train")
    RecognitionTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
