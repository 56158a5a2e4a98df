"""Recognise speech with a recogniser or a joint model.

Takes every option of espnet2.bin.asr_inference; joint models need --enh_s2t_task true.
"""

from espnet2.bin import asr_inference

from espnet_plugins.tasks import JointTask

# ESPnet's program names its task class; ours knows the options of the joint model.
asr_inference.EnhS2TTask = JointTask


def main(cmd=None):
    """Recognise with the arguments of the command line, or with `cmd`."""
    asr_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
