#!/usr/bin/env bash
# Layers of an SSL model are usually taken from transformers' `hidden_states`, and
# the last of them is expected to be the model's output, as it is documented for
# other models. For HuBERT, WavLM and wav2vec 2.0 of the "large" kind
# (do_stable_layer_norm) that holds up to transformers 4: the list ends with
# `last_hidden_state`. In transformers 5 the same list, as long as before and of
# the same weights, ends with what goes into the final layer norm: another scale,
# another distance between frames, no warning. A criterion, k-means or a probe
# over "the last layer" changes with the version of transformers.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1
cat > show.py <<'PY'
import sys

import torch
import transformers

sizes = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": True, "feat_extract_norm": "layer",
}
ends_with_output = []
for kind in ("Hubert", "WavLM", "Wav2Vec2"):
    torch.manual_seed(0)
    config = getattr(transformers, kind + "Config")(**sizes)
    model = getattr(transformers, kind + "Model")(config).eval()
    with torch.no_grad():
        found = model(torch.randn(1, 4000), output_hidden_states=True)
    last, output = found.hidden_states[-1], found.last_hidden_state
    ends_with_output.append(torch.allclose(last, output, atol=1e-6))
    normed = torch.allclose(model.encoder.layer_norm(last), output, atol=1e-5)
    print(f"transformers {transformers.__version__}: {kind}: {len(found.hidden_states)} hidden states; "
          f"the last is the output: {ends_with_output[-1]}; its layer norm is the output: {normed}; "
          f"standard deviation {last.std():.3f} against {output.std():.3f}")
sys.exit(ends_with_output != [sys.argv[1] == "output"] * 3)
PY
status=0
venv/bin/pip install --quiet transformers==4.57.6
venv/bin/python show.py output || status=1
venv/bin/pip install --quiet transformers==5.24.0
venv/bin/python show.py before_norm || status=1
[ "$status" = 0 ] && echo "as described" || echo "behavior has changed"
exit "$status"
