"""What this package works around in ESPnet, each as small as it can be; a test fails once ESPnet is mended.

docs/upstream.md has the table, also of what stands in test_recurrent.py and inference/test_export.py.
"""

import argparse
import sys
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.main_funcs.pack_funcs import pack, unpack
from espnet2.tasks.enh import EnhancementTask
from joint_configuration import joint_settings
from places import ROOT

from espnet_plugins.tasks import JointTask, default_config

PAGE = (ROOT / "docs" / "upstream.md").read_text(encoding="utf-8")
STOCK_JOINT = next(kind for kind in JointTask.__mro__ if kind.__module__ == "espnet2.tasks.enh_s2t")


def test_criteria_see_what_stands_behind_an_utterances_end():
    settings = {name.removeprefix("enh_"): value for name, value in joint_settings({}, criterion="si_snr").items()}
    parts = ("encoder", "separator", "decoder")
    chosen = {f"{part}{end}": settings[f"{part}{end}"] for part in parts for end in ("", "_conf")}
    config = {**default_config(EnhancementTask), **chosen, "criterions": settings["criterions"], "init": None}
    model = EnhancementTask.build_model(argparse.Namespace(**config)).eval()
    generator = torch.Generator().manual_seed(0)
    reference, estimate = torch.randn(2, 2, 800, generator=generator)
    lengths = torch.tensor([800, 500])

    def loss(behind):
        padded = estimate.clone()
        padded[1, 500:] = behind
        return model.forward_loss([padded], lengths, None, None, {}, [reference])[0].item()

    assert loss(0.0) != pytest.approx(loss(1.0), rel=1e-3)


def test_the_joint_model_reports_no_criterion_and_knows_no_weights(tmp_path):
    settings = joint_settings({}, criterion="si_snr", frontend="default")
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(settings))
    args = STOCK_JOINT.get_parser().parse_args(["--config", str(tmp_path / "train.yaml")])
    torch.manual_seed(0)
    model = STOCK_JOINT.build_model(args)
    waveform, lengths = torch.randn(1, 8000), torch.tensor([8000])
    batch = {"speech_ref1": waveform, "text_spk1": torch.tensor([[2, 3]]), "text_spk1_lengths": torch.tensor([2])}
    _, stats, _ = model(waveform + 0.1, lengths, **batch)
    assert stats["loss_enh"] is not None
    assert not [name for name in stats if "si_snr" in name]
    with pytest.raises(TypeError):
        STOCK_JOINT.build_model(argparse.Namespace(**{**vars(args), "model_conf": {"enh_weight": 2.0}}))


def test_a_default_configuration_depends_on_the_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["any program", "--separator", "tcn"])
    assert EnhancementTask.get_default_config()["separator"] == "tcn"


def test_a_packed_folder_is_not_found_again(tmp_path, monkeypatch):
    """Paths of files lead to the unpacked ones, those of folders where they led before."""
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    for name in ("weights.pth", "model/part", "list"):
        Path(name).write_text("")
    Path("config.yaml").write_text(yaml.safe_dump({"folder": "model", "file": "list"}))
    pack({"model_file": "weights.pth"}, {"train_config": "config.yaml"}, "packed.zip", option=["model", "list"])
    found = unpack("packed.zip", tmp_path / "out")
    settings = yaml.safe_load(Path(found["train_config"]).read_text())
    assert (tmp_path / "out" / "model" / "part").is_file()
    assert settings == {"folder": "model", "file": str(tmp_path / "out" / "list")}


def test_the_page_names_the_tests_there_are():
    named = [line.split("`")[-2] for line in PAGE.splitlines() if line.startswith("|") and "::test_" in line]
    assert len(named) >= 6
    for name in named:
        path, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
