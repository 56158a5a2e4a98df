#!/usr/bin/env bash
# One expects a model in evaluation mode to give the same output for the same
# input, dropout being for training. ESPnet's recurrent encoder with projections
# (rnn and vgg_rnn, as in its CTC/attention recipes) calls the functional dropout
# without telling it the mode, and so drops values while decoding too, in all
# layers but the last. Hypotheses and validation losses of such a recognizer
# vary from run to run; as the judge of enhanced speech it adds noise to every WER.
# Set the module's dropout attribute to 0 after loading.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1 numpy==2.4.6
venv/bin/pip install --quiet --no-deps espnet==202511
venv/bin/python - <<'PY'
import sys

import espnet
import torch
from espnet.nets.pytorch_backend.rnn.encoders import RNN, RNNP

print("espnet", espnet.__version__, "torch", torch.__version__)
torch.manual_seed(0)
features, lengths = torch.randn(1, 40, 20), torch.tensor([40])
projected = RNNP(20, 2, 16, 16, [1, 1, 1], 0.5, typ="blstm").eval()
plain = RNN(20, 2, 16, 16, 0.5, typ="blstm").eval()


def difference(encoder):
    with torch.no_grad():
        return float((encoder(features, lengths)[0] - encoder(features, lengths)[0]).abs().max())


seen = difference(projected), difference(plain)
print("evaluation mode, one input twice, largest difference:")
print(f"with projections {seen[0]:.4f}, without {seen[1]:.4f}")
projected.dropout = 0.0
cured = difference(projected)
print(f"with projections and dropout set to 0: {cured:.4f}")
holds = seen[0] > 1e-3 and seen[1] < 1e-6 and cured < 1e-6
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
