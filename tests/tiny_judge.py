"""A Whisper of CTranslate2 with random weights: English letters, two heads, 30 s of 80 bands."""

import json
from pathlib import Path

import numpy as np

SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]
WIDTH, BANDS, WINDOW, TEXT = 16, 80, 1500, 448


def write_tiny_judge(folder: Path, *, seed: int = 0) -> Path:
    """Write model.bin, config.json, tokenizer.json and vocabulary.json."""
    from ctranslate2.specs import WhisperSpec
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*letters, *SPECIAL])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))

    generator = np.random.default_rng(seed)

    def noise(*shape):
        return (generator.standard_normal(shape) * 0.5).astype(np.float32)

    def norm(spec):
        spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(spec, rows, columns=WIDTH):
        spec.weight, spec.bias = noise(rows, columns), np.zeros(rows, np.float32)

    def attention(spec, *, cross=False):
        norm(spec.layer_norm)
        linear(spec.linear[0], WIDTH if cross else 3 * WIDTH)
        if cross:
            linear(spec.linear[1], 2 * WIDTH)
        linear(spec.linear[-1], WIDTH)

    def feed_forward(spec):
        norm(spec.layer_norm)
        linear(spec.linear_0, 2 * WIDTH)
        linear(spec.linear_1, WIDTH, 2 * WIDTH)

    spec = WhisperSpec(1, 2, 1, 2)
    for convolution, channels in ((spec.encoder.conv1, BANDS), (spec.encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = noise(WIDTH, channels, 3), np.zeros(WIDTH, np.float32)
    spec.encoder.position_encodings.encodings = noise(WINDOW, WIDTH)
    norm(spec.encoder.layer_norm)
    attention(spec.encoder.layer[0].self_attention)
    feed_forward(spec.encoder.layer[0].ffn)
    spec.decoder.embeddings.weight = noise(len(vocabulary), WIDTH)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.decoder.position_encodings.encodings = noise(TEXT, WIDTH)
    spec.decoder.scale_embeddings = False
    norm(spec.decoder.layer_norm)
    attention(spec.decoder.layer[0].self_attention)
    attention(spec.decoder.layer[0].attention, cross=True)
    feed_forward(spec.decoder.layer[0].ffn)
    spec.register_vocabulary(list(vocabulary))
    spec.validate()
    spec.save(str(folder))
    config = {"suppress_ids": [], "suppress_ids_begin": [], "lang_ids": [vocabulary["<|en|>"]]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
