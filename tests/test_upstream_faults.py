"""What this package works around in ESPnet, each as small as it can be; a test fails once ESPnet is mended.

docs/upstream.md has the table, also of what stands in test_recurrent.py and inference/test_export.py.
"""

import argparse
import importlib.metadata
import inspect
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
import yaml
from espnet2.bin import asr_inference, enh_inference
from espnet2.layers.utterance_mvn import UtteranceMVN
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.main_funcs.pack_funcs import pack, unpack
from espnet2.tasks import enh, enh_s2t
from espnet2.tasks.enh import EnhancementTask
from espnet2.train.class_choices import ClassChoices
from espnet2.train.reporter import Reporter
from joint_configuration import joint_settings
from places import ROOT
from stock import STOCK_ALONE

from espnet_plugins.tasks import EnhTask, JointTask, RecognitionTask, default_config

PAGE = (ROOT / "docs" / "upstream.md").read_text(encoding="utf-8")
STOCK_JOINT = next(kind for kind in JointTask.__mro__ if kind.__module__ == "espnet2.tasks.enh_s2t")
STOCK_RECOGNITION = next(kind for kind in RecognitionTask.__mro__ if kind.__module__ == "espnet2.tasks.asr")
# The faults that the release of today has mended are still there in that of the first stack.
MENDED = importlib.metadata.version("espnet") >= "202611"


def front_end(task=EnhancementTask, **model_conf):
    """A small front-end, built by ESPnet's task or another."""
    settings = {name.removeprefix("enh_"): value for name, value in joint_settings({}, criterion="si_snr").items()}
    parts = ("encoder", "separator", "decoder")
    chosen = {f"{part}{end}": settings[f"{part}{end}"] for part in parts for end in ("", "_conf")}
    chosen |= {"criterions": settings["criterions"], "model_conf": model_conf, "init": None}
    torch.manual_seed(0)
    return task.build_model(argparse.Namespace(**{**default_config(task), **chosen})).eval()


def recognizer_settings(**model_conf):
    """Of a small recognizer over ESPnet's spectra."""
    settings = {name.removeprefix("asr_"): value for name, value in joint_settings({}, frontend="default").items()}
    parts = ("frontend", "specaug", "normalize", "encoder", "decoder", "token_list", "token_type")
    chosen = {name: value for name, value in settings.items() if name.removesuffix("_conf") in parts}
    chosen |= {"model_conf": {"ctc_weight": 1.0, **model_conf}, "init": None}
    return {**default_config(STOCK_RECOGNITION), **chosen}


def test_criteria_see_what_stands_behind_an_utterances_end():
    model = front_end()
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


@pytest.mark.parametrize("name", ["faults_of_upstream.Mine", "faults_of_upstream:Mine"])
def test_no_class_from_outside_can_be_chosen(tmp_path, monkeypatch, capsys, name):
    """Neither by the place of its class nor by a function of the tables; `register.py` writes into them."""
    (tmp_path / "faults_of_upstream.py").write_text(
        "from espnet2.enh.separator.tcn_separator import TCNSeparator\nclass Mine(TCNSeparator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SystemExit):
        EnhancementTask.get_parser().parse_args(["--separator", name])
    assert "invalid choice" in capsys.readouterr().err
    public = {word for word in vars(ClassChoices) if not word.startswith("_")}
    assert public == {"choices", "get_class", "add_arguments"}
    # What is written into a table of one task does not reach that of another.
    assert enh_s2t.enh_separator_choices is not enh.separator_choices


def test_the_programs_of_decoding_know_their_own_tasks_alone():
    for program, kind in ((asr_inference, "Speech2Text"), (enh_inference, "SeparateSpeech")):
        parameters = inspect.signature(getattr(program, kind).__init__).parameters
        assert [name for name in parameters if "task" in name] == ["enh_s2t_task"]
        options = {action.dest for action in program.get_parser()._actions}
        assert [name for name in options if "task" in name] == ["enh_s2t_task"]
        with pytest.raises(SystemExit):
            program.get_parser().parse_args(["--enh_s2t_task", "espnet_plugins.tasks.JointTask"])


def test_importing_espnet_imports_what_asks_nltk_for_data(tmp_path):
    """g2p_en, where it is installed (from 202611 on with ESPnet's extra `tts` alone); see test_offline.py."""
    (tmp_path / "g2p_en.py").write_text("print('imported')\n")
    code = "import espnet2.train.preprocessor"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "imported" in result.stdout.splitlines()


def test_importing_espnet_imports_what_few_models_use(tmp_path):
    """`imports.py` puts that off until something uses them."""
    code = "import espnet2.tasks.enh_s2t, sys; print({'nltk.data', 'hydra.utils'} & {*sys.modules})"
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] != "set()"


# A training of ESPnet alone, of two epochs, that ends where the second one's updates are done and validation begins.
# It is started again; then once more, its checkpoint cut off. Prints what the second start trained and the third's end.
TRAINED_AGAIN = (
    STOCK_ALONE
    + """
import pathlib
from espnet2.tasks.enh import EnhancementTask

class Stopped(Exception):
    pass

modes, stop = [], True

def watch(model, inputs):
    modes.append(model.training)
    if stop and modes[-2:] == [True, False] and sum(pair == (True, False) for pair in zip(modes, modes[1:])) == 2:
        raise Stopped

class Task(EnhancementTask):
    @classmethod
    def build_model(cls, args):
        model = super().build_model(args)
        model.register_forward_pre_hook(watch)
        return model

try:
    Task.main(cmd=sys.argv[2:])
except Stopped:
    pass
else:
    raise SystemExit("not stopped")
modes, stop = [], False
Task.main(cmd=sys.argv[2:])
print("updates", sum(modes))
checkpoint = pathlib.Path(sys.argv[1]) / "checkpoint.pth"
checkpoint.write_bytes(checkpoint.read_bytes()[:-4096])
try:
    Task.main(cmd=[*sys.argv[2:], "--max_epoch", "3"])
except Exception as error:
    print("ended by", type(error).__name__)
"""
)


def test_a_training_resumes_at_an_epochs_start_and_not_from_a_damaged_checkpoint(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    tiny_training.write_data(data, utterances=12)
    config = {**tiny_training.enhancement(), "num_iters_per_epoch": 2, "max_epoch": 2}
    arguments = tiny_training.command(config, data, out)
    command = [sys.executable, "-W", "ignore", "-c", TRAINED_AGAIN, str(out), *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    printed = [line for line in result.stdout.splitlines() if line.startswith(("updates", "ended"))]
    # All updates of the second epoch had been done.
    assert int(printed[0].split()[1]) > 0
    assert printed[1].startswith("ended by ")


def test_beam_search_wants_as_many_tokens_as_hypotheses(tmp_path):
    config = recognizer_settings()
    torch.manual_seed(0)
    model = STOCK_RECOGNITION.build_model(argparse.Namespace(**config))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    files, waveform = [str(tmp_path / name) for name in ("config.yaml", "model.pth")], torch.randn(16000).numpy()

    def decode(beam_size):
        return asr_inference.Speech2Text(*files, ctc_weight=1.0, beam_size=beam_size)(waveform)

    n_tokens = len(config["token_list"])
    assert decode(n_tokens)
    with pytest.raises(RuntimeError, match="out of range"):
        decode(n_tokens + 1)


def test_an_estimate_depends_on_the_padding():
    """Norms average over it; `enh/unpadded.py`."""
    mixture = torch.randn(2, 1600, generator=torch.Generator().manual_seed(0))
    mixture[1, 800:] = 0.0
    for task, alike in ((EnhancementTask, False), (EnhTask, True)):
        model = front_end(task)
        with torch.no_grad():
            (padded,), *_ = model.forward_enhance(mixture, torch.tensor([1600, 800]))
            (alone,), *_ = model.forward_enhance(mixture[1:, :800], torch.tensor([800]))
        assert torch.allclose(padded[1, :800], alone[0], atol=1e-5) == alike


def test_the_variance_is_normalized_in_the_training_of_a_front_end_alone():
    """Not in decoding, nor in the joint model, which both call forward_enhance(); `enh/model.py`."""
    mixture, lengths = 0.01 * torch.randn(1, 1600, generator=torch.Generator().manual_seed(0)), torch.tensor([1600])
    for task, ignored in ((EnhancementTask, True), (EnhTask, False)):
        with torch.no_grad():
            (plain,), *_ = front_end(task).forward_enhance(mixture, lengths)
            (normalized,), *_ = front_end(task, normalize_variance=True).forward_enhance(mixture, lengths)
        assert torch.equal(plain, normalized) == ignored


def test_the_error_rate_of_a_batch_counts_what_is_behind_an_utterances_end():
    """`asr/errors.py`."""
    model = STOCK_RECOGNITION.build_model(argparse.Namespace(**recognizer_settings(report_cer=True))).eval()
    frames = torch.zeros(2, 20, 8)
    lengths, text, text_lengths = torch.tensor([20, 10]), torch.tensor([[2, 3], [2, -1]]), torch.tensor([2, 1])
    # The first dimension of a frame, where it is there, says the third token.
    with torch.no_grad():
        model.ctc.ctc_lo.weight.zero_()[3, 0] = 1.0
        model.ctc.ctc_lo.bias.zero_()[0] = 0.5
    _, before = model._calc_ctc_loss(frames, lengths, text, text_lengths)
    frames[1, 12:14, 0] = 1.0
    _, behind = model._calc_ctc_loss(frames, lengths, text, text_lengths)
    assert before != behind


def test_an_epoch_whose_value_is_no_number_can_be_the_best_one():
    """`train/criteria.py` ends such a training."""
    reporter = Reporter()
    values = {1: math.nan, 2: 0.5, 3: 0.2}
    reporter.load_state_dict({"epoch": 3, "stats": {k: {"valid": {"loss": v}} for k, v in values.items()}})
    assert reporter.get_best_epoch("valid", "loss", "min") == (3 if MENDED else 1)


def test_importing_espnet_prepares_all_type_checks(tmp_path):
    """`typechecks.py` puts that off until a function is called."""
    code = (
        "import typeguard; found, stock = [], typeguard.typechecked\n"
        "typeguard.typechecked = lambda *args, **more: found.append(args) or stock(*args, **more)\n"
        "import espnet2.train.preprocessor; print(len(found))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    assert int(result.stdout.split()[-1]) > 20


def test_a_second_average_is_made_of_changed_weights(tmp_path):
    """`train/averaging.py`."""
    reporter = Reporter()
    reporter.load_state_dict({"epoch": 3, "stats": {k: {"valid": {"loss": float(k)}} for k in (1, 2, 3)}})
    for epoch in (1, 2, 3):
        torch.save({"w": torch.tensor([float(epoch)])}, tmp_path / f"{epoch}epoch.pth")
    average_nbest_models(
        output_dir=tmp_path, reporter=reporter, best_model_criterion=[["valid", "loss", "min"]], nbest=[2, 3]
    )
    found = [torch.load(tmp_path / f"valid.loss.ave_{n}best.pth", weights_only=True)["w"].item() for n in (2, 3)]
    assert (found == [1.5, 2.0]) == MENDED


def test_the_variance_of_features_sees_the_padding():
    """`asr/normalize.py`."""
    features = torch.tensor([[[1.0], [3.0], [0.0], [0.0]], [[1.0], [3.0], [5.0], [7.0]]])
    norm = UtteranceMVN(norm_vars=True)
    padded, _ = norm(features.clone(), torch.tensor([2, 4]))
    alone, _ = norm(features[:1, :2].clone(), torch.tensor([2]))
    assert torch.allclose(padded[0, :2], alone[0], atol=1e-5) == MENDED


def test_the_page_names_the_tests_there_are():
    named = [line.split("`")[-2] for line in PAGE.splitlines() if line.startswith("|") and "::test_" in line]
    assert len(named) >= 6
    for name in named:
        path, _, test = name.partition("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
