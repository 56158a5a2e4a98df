"""Recognise speech with a recogniser or a joint model.

Takes every option of espnet2.bin.asr_inference; joint models need --enh_s2t_task true.
"""

from espnet_plugins.inference.stock_programs import asr_inference


def main(cmd=None):
    """Recognise with the arguments of the command line, or with `cmd`."""
    asr_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
