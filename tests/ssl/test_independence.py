import subprocess
import sys


def test_upstreams_perturbation_and_soft_dtw_need_no_espnet():
    code = (
        "import sys; sys.modules.update(espnet=None, espnet2=None)\n"
        "import espnet_plugins.ssl, espnet_plugins.perturb, espnet_plugins.soft_dtw\n"
        "print(espnet_plugins.ssl.build_upstream('hubert_base', pretrained=False).hop_length)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "320", done.stderr
