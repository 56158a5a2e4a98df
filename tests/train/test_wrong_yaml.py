"""A wrong configuration ends the program before it trains, and the log says which key is wrong."""

import pytest
import tiny_training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 9}, "ssl_mse_pad: layer: layers=9: 9 is out of range, accepted are 0..3"),
        ({"fractoin": [0, 1]}, "ssl_mse_pad: unknown key fractoin; accepted keys are fraction, layer"),
    ],
)
def test_nothing_is_trained(change, message, make_upstream, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    tiny_training.write_data(data, utterances=4)
    config = tiny_training.joint(make_upstream())
    config["enh_criterions"][0]["conf"].update(change)
    process = tiny_training.start(tiny_training.command(config, data, out), out)
    process.join(120)
    assert process.exitcode == 1
    assert message in (out / "train.log").read_text()
    assert not (out / "losses.txt").exists()
    assert not list(out.glob("*.pth"))
