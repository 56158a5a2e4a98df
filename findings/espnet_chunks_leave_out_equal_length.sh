#!/usr/bin/env bash
# One expects an utterance exactly as long as the chunks of a training to be one
# chunk. ESPnet's chunk iterator wants utterances longer than a chunk and leaves
# those of equal length out, logging that they are shorter. Corpora that were cut
# to one length (4 s segments, say) lose every utterance with chunk_length set to
# that length, and a training without a batch ends without an error.
# Set chunk_length one sample lower.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1 numpy==2.2.6 typeguard==4.4.4
venv/bin/pip install --quiet --no-deps espnet==202511
venv/bin/python - <<'PY'
import sys

import espnet
import numpy as np
import torch
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory

CHUNK = 100


def collate(examples):
    (name, example), = examples
    speech = torch.from_numpy(example["speech"])[None]
    return [name], {"speech": speech, "speech_lengths": torch.tensor([speech.shape[1]])}


def chunks(length):
    speech = {"a": {"speech": np.zeros(length, dtype=np.float32)}}
    factory = ChunkIterFactory(
        dataset=type("Speech", (torch.utils.data.Dataset,), {
            "__getitem__": lambda self, name: (name, speech[name]),
            "__len__": lambda self: 1,
        })(),
        batch_size=1, batches=[("a",)], chunk_length=CHUNK, collate_fn=collate, shuffle=False,
    )
    return sum(len(names) for names, _ in factory.build_iter(epoch=1))


print("espnet", espnet.__version__, "chunk_length", CHUNK)
seen = {length: chunks(length) for length in (CHUNK - 1, CHUNK, CHUNK + 1)}
for length, count in seen.items():
    print(f"an utterance of {length}: {count} chunk(s)")
holds = seen == {CHUNK - 1: 0, CHUNK: 0, CHUNK + 1: 1}
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
