"""Train a recognizer over the frozen SSL front-end.

Takes every option of espnet2.bin.asr_train.
"""

from espnet_plugins.tasks import RecognitionTask


def main(cmd=None):
    """Run the task with the arguments of the command line, or with `cmd`."""
    RecognitionTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
