"""Enhance speech with a front-end or a joint model.

Takes every option of espnet2.bin.enh_inference; joint models need --enh_s2t_task true.
"""

import logging

from espnet_plugins.atomic import whole_audio_files
from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.inference.audio import cut_when_written
from espnet_plugins.inference.stock_programs import enh_inference
from espnet_plugins.train.onednn import onednn


def main(cmd=None, *, use_onednn=True):
    """Enhance with the arguments of the command line, or with `cmd`; without oneDNN if so wished.

    Gives the files whose estimate was cut at full scale, with its greatest value.
    """
    check_ngpu(enh_inference.get_parser(), cmd, program="enh_inference")
    with onednn(use_onednn), whole_audio_files(), cut_when_written() as cut:
        enh_inference.main(cmd=cmd)
    for path, peak in cut.items():
        logging.warning("%s: the estimate reaches %.2f and was cut at full scale", path, peak)
    return cut


if __name__ == "__main__":
    main()
