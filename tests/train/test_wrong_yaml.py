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
    config = tiny_training.joint(make_upstream())
    config["enh_criterions"][0]["conf"].update(change)
    assert_refused(config, message, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"best_model_criterion": [["valid", "loss", "min"], ["valid", "si_snr", "min"]]},
            "best_model_criterion: the model reports no 'si_snr' in valid; give one of loss, si_snr_loss",
        ),
        (
            {"best_model_criterion": [["train", "wer", "min"]]},
            "best_model_criterion: the model reports no 'wer' in train; give one of loss, si_snr_loss",
        ),
        (
            {"patience": 2, "early_stopping_criterion": ["valid", "acc", "max"]},
            "early_stopping_criterion: the model reports no 'acc' in valid; give one of loss, si_snr_loss",
        ),
        (
            {"scheduler": "reducelronplateau", "scheduler_conf": {}, "val_scheduler_criterion": ["valid", "wer"]},
            "val_scheduler_criterion: the model reports no 'wer' in valid; give one of loss, si_snr_loss",
        ),
        ({"best_model_criterion": [["valid", "loss", "least"]]}, "best_model_criterion: mode: 'least' is not accepted"),
        ({"best_model_criterion": [["valid", "loss"]]}, "best_model_criterion: ['valid', 'loss'] is not accepted"),
        ({"keep_nbest_models": 0}, "keep_nbest_models: 0 is not accepted; give whole numbers from 1"),
    ],
)
def test_a_criterion_that_nobody_reports_is_found_before_the_first_update(change, message, tmp_path):
    assert_refused({**tiny_training.enhancement(), **change}, message, tmp_path)


def assert_refused(config, message, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    tiny_training.write_data(data, utterances=4)
    process = tiny_training.start(tiny_training.command(config, data, out), out)
    process.join(tiny_training.LIMIT)
    assert process.exitcode == 1
    assert message in (out / "train.log").read_text()
    assert not list(out.glob("*.pth"))
