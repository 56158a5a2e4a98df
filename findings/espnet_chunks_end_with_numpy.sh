#!/usr/bin/env bash
# One expects what pip resolves for a release to work with it. For espnet==202511,
# whose newest allowed numpy is 2.4.6, it does not: the iterator that cuts utterances
# into chunks, that of every enhancement recipe, draws the chunk length as an array of
# one element and turns it into a number, which numpy deprecated in 1.25 and refuses
# since 2.4. The training ends with a TypeError at its first utterance, after data
# preparation and statistics, which do not draw. With numpy 2.3.5 the same call gives
# its chunks and a DeprecationWarning. Ask for numpy<2.4 beside espnet==202511.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >chunks.py <<'PY'
import sys
import warnings

import espnet
import numpy as np
import torch
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory

warnings.simplefilter("ignore")
CHUNK, LENGTH = 100, 250
speech = np.zeros(LENGTH, dtype=np.float32)


def collate(examples):
    (name, example), = examples
    samples = torch.from_numpy(example["speech"])[None]
    return [name], {"speech": samples, "speech_lengths": torch.tensor([samples.shape[1]])}


class OneUtterance(torch.utils.data.Dataset):
    def __getitem__(self, name):
        return name, {"speech": speech}

    def __len__(self):
        return 1


factory = ChunkIterFactory(
    dataset=OneUtterance(), batch_size=1, batches=[("a",)], chunk_length=CHUNK, collate_fn=collate, shuffle=False
)
try:
    found = f"{sum(len(names) for names, _ in factory.build_iter(epoch=1))} chunks"
except TypeError as error:
    found = f"TypeError: {error}"
print(f"espnet {espnet.__version__}, numpy {np.__version__}: {found}")
sys.exit(not found.startswith(sys.argv[1]))
PY
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1 typeguard==4.4.4
venv/bin/pip install --quiet --no-deps espnet==202511
for pair in "2.3.5 4 chunks" "2.4.6 TypeError: only 0-dimensional arrays"; do
    venv/bin/pip install --quiet --no-deps "numpy==${pair%% *}"
    venv/bin/python chunks.py "${pair#* }"
done
echo "as described"
