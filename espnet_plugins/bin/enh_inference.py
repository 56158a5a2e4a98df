"""Enhance speech with a front-end or a joint model.

Takes every option of espnet2.bin.enh_inference; joint models need --enh_s2t_task true.
"""

from espnet_plugins.inference.stock_programs import enh_inference


def main(cmd=None):
    """Enhance with the arguments of the command line, or with `cmd`."""
    enh_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
