"""Enhance speech with a front-end or a joint model.

Takes every option of espnet2.bin.enh_inference; joint models need --enh_s2t_task true.
"""

from espnet2.bin import enh_inference

from espnet_plugins.tasks import EnhTask, JointTask

# ESPnet's program names its task classes; ours know this package's models.
enh_inference.EnhancementTask = EnhTask
enh_inference.EnhS2TTask = JointTask


def main(cmd=None):
    """Enhance with the arguments of the command line, or with `cmd`."""
    enh_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
