"""ESPnet's type checks hold as before; importing it prepares none of them."""

import inspect
import os
import subprocess
import sys

import pytest
import typeguard
from espnet2.layers.utterance_mvn import UtteranceMVN
from espnet2.utils.get_default_kwargs import get_default_kwargs
from places import ROOT


def test_a_wrong_type_is_refused_on_every_call():
    for _ in range(2):
        with pytest.raises(typeguard.TypeCheckError, match='"norm_means"'):
            UtteranceMVN(norm_means="yes")
    assert UtteranceMVN(norm_means=False).norm_means is False


def test_options_are_read_from_the_signature():
    assert get_default_kwargs(UtteranceMVN)["eps"] == 1e-20
    assert list(inspect.signature(UtteranceMVN).parameters) == ["norm_means", "norm_vars", "eps"]


def test_nothing_is_rewritten_at_import_and_other_packages_are_left_alone(tmp_path):
    pytest.importorskip("inflect", reason="comes with g2p_en, which ESPnet needs up to 202511")
    (tmp_path / "another.py").write_text("import typeguard\n@typeguard.typechecked\ndef f(x: int): ...\n")
    code = (
        "import espnet_plugins, typeguard._decorators as d; calls = []; old = d.instrument; "
        "d.instrument = lambda f: (calls.append(f.__module__), old(f))[1]; "
        "import inflect, another; print(calls); inflect.engine().plural('cat'); print(calls[1])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert told.stdout == "['another']\ninflect\n", told.stderr
