"""The beginning of programs that show what ESPnet does where this package is not installed."""

# Importing this package fails behind it.
STOCK_ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "espnet_plugins":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
try:
    import espnet_plugins
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported")
"""

# ESPnet's from_pretrained, or what it does where its model zoo is not installed; every model twice.
FROM_PRETRAINED = (
    STOCK_ALONE
    + """
import sys, numpy, torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.bin.enh_inference import SeparateSpeech
from espnet2.main_funcs.pack_funcs import unpack

front_end, joint, cache, waveform, out = sys.argv[1:]

def load(kind, path, **options):
    try:
        import espnet_model_zoo
    except ImportError:
        return kind(**unpack(path, cache + "/" + path.replace("/", "_")), **options)
    return kind.from_pretrained(path, **options)

speech = numpy.load(waveform)
separate = load(SeparateSpeech, front_end)
enhanced = [separate(speech[None], fs=16000)[0] for _ in range(2)]
recognize = load(Speech2Text, joint, enh_s2t_task=True, beam_size=5, ctc_weight=1.0)
words = [recognize(speech)[0][0][0] for _ in range(2)]
assert words[0] == words[1]
assert numpy.array_equal(*enhanced)
numpy.savez(out, enhanced=enhanced[0][0], words=words[0])
"""
)
