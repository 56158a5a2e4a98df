"""Recognize speech with a recognizer or a joint model.

Takes every option of espnet2.bin.asr_inference; joint models need --enh_s2t_task true.
"""

from espnet_plugins.inference.stock_programs import asr_inference
from espnet_plugins.train.onednn import onednn


def main(cmd=None, *, use_onednn=True):
    """Recognize with the arguments of the command line, or with `cmd`; without oneDNN if so wished."""
    with onednn(use_onednn):
        asr_inference.main(cmd=cmd)


if __name__ == "__main__":
    main()
