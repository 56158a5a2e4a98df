"""Recognize speech with a recognizer or a joint model.

Takes every option of espnet2.bin.asr_inference; joint models need --enh_s2t_task true. With --batch_size above 1,
utterances go together where that gives the same transcripts.
"""

from espnet_plugins.bin.devices import check_ngpu
from espnet_plugins.inference.batch_recognition import recognize_set
from espnet_plugins.inference.stock_programs import asr_inference
from espnet_plugins.train.onednn import onednn


def main(cmd=None, *, use_onednn=True):
    """Recognize with the arguments of the command line, or with `cmd`; without oneDNN if so wished."""
    check_ngpu(asr_inference.get_parser(), cmd, program="asr_inference")
    args = asr_inference.get_parser().parse_args(cmd)
    # What ESPnet refuses or does in streams, it shall refuse or do.
    own_way = args.streaming or args.multi_asr or args.word_lm_train_config or args.ngpu > 1
    with onednn(use_onednn):
        if args.batch_size == 1 or own_way:
            asr_inference.main(cmd=cmd)
        else:
            recognize_set(args)


if __name__ == "__main__":
    main()
