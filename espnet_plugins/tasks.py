"""ESPnet's tasks with this package's models and trainer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.enh.espnet_enh_s2t_model import ESPnetEnhS2TModel
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.tasks.abs_task import AbsTask
from espnet2.tasks.asr import ASRTask
from espnet2.tasks.enh import EnhancementTask
from espnet2.tasks.enh_s2t import EnhS2TTask
from espnet2.tasks.hubert import HubertTask
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.utils.get_default_kwargs import get_default_kwargs

import espnet_plugins.register  # noqa: F401  (fills ESPnet's tables before a task reads them)
from espnet_plugins.asr.errors import greedy_error_rates
from espnet_plugins.checks import check_classes, check_conf, check_mapping, check_number
from espnet_plugins.enh.model import LengthAwareEnhancementModel, split_options
from espnet_plugins.enh.options import check_criteria
from espnet_plugins.enh.unpadded import ignore_padding
from espnet_plugins.objectives.without_position import training_speech
from espnet_plugins.recurrent import accept_any_order, drop_in_training_only
from espnet_plugins.ssl import share_passes
from espnet_plugins.train.adapters import check_adapter
from espnet_plugins.train.onednn import OneDNNOption
from espnet_plugins.train.trainer import ResumableTrainer
from espnet_plugins.weights import load_weights, read_weights


class JointModel(ESPnetEnhS2TModel):
    """Enhancement and recognition with lengths, weights and one upstream pass over the enhanced signal.

    Args:
        enh_model: The front-end and its criteria.
        s2t_model: An ESPnet recognizer.
        enh_weight: Factor of the enhancement loss; 0 leaves the criteria out (recognition loss alone).
        asr_weight: Factor of the recognition loss; 0 leaves it out in training (the paper's setting: the
            objective alone). Validation reports it in every case.

    Raises:
        ValueError: For a negative weight, or two zeros.
    """

    def __init__(
        self,
        enh_model: LengthAwareEnhancementModel,
        s2t_model: ESPnetASRModel,
        *,
        enh_weight: float = 1.0,
        asr_weight: float = 1.0,
    ):
        enh_weight = check_number("model_conf: enh_weight", enh_weight, low=0)
        asr_weight = check_number("model_conf: asr_weight", asr_weight, low=0)
        if enh_weight + asr_weight == 0:
            raise ValueError("model_conf: enh_weight and asr_weight are both 0; give one of them above 0")
        super().__init__(enh_model, s2t_model, calc_enh_loss=enh_weight > 0)
        self.enh_weight, self.asr_weight = enh_weight, asr_weight

    def forward(self, speech, speech_lengths, **batch):
        """Compute the loss of a padded batch.

        Args:
            speech: (B, T) noisy speech.
            speech_lengths: (B,) in samples.
            batch: speech_ref1.. (B, T), text_spk1.. (B, L) and text_spk1_lengths.. (B,).

        Returns:
            The loss, the statistics of every part, and the batch size as weight.
        """
        speakers = [f"{k + 1}" for k in range(self.enh_model.num_spk)]
        speech = speech[:, : speech_lengths.max()]
        stats: dict[str, torch.Tensor | float | None] = {}
        loss = speech.new_zeros(())
        perm = None
        with share_passes():
            enhanced, *features = self.enh_model.forward_enhance(speech, speech_lengths, {"num_spk": len(speakers)})
            if self.calc_enh_loss:
                references = [batch[f"speech_ref{k}"][:, : speech.shape[1]] for k in speakers]
                loss_enh, _, weight, perm = self.enh_model.forward_loss(enhanced, speech_lengths, *features, references)
                loss = loss + self.enh_weight * loss_enh.squeeze()
                # Without a reference that is heard, there is no loss to report.
                reported = loss_enh.detach().squeeze() if weight > 0 else loss_enh.new_tensor(torch.nan)
                stats.update(self.enh_model.last_stats, loss_enh=reported)
            if self.asr_weight > 0 or not self.training:
                texts = self._pad_texts([batch[f"text_spk{k}"] for k in speakers])
                text_lengths = [batch[f"text_spk{k}_lengths"] for k in speakers]
                loss_asr, asr_stats = self._recognize(enhanced, speech_lengths, texts, text_lengths, perm)
                loss = loss + self.asr_weight * loss_asr
                stats.update(asr_stats, loss_asr=loss_asr.detach())
        stats["loss"] = loss.detach()
        return force_gatherable((loss, stats, speech.shape[0]), loss.device)

    def _recognize(self, enhanced, speech_lengths, texts, text_lengths, perm):
        if len(enhanced) > 1 and perm is None:
            loss, stats, _ = self.asr_pit_loss(enhanced, speech_lengths, texts, text_lengths)
            return loss.squeeze(), {name: value for name, value in stats.items() if name != "loss"}
        # The very tensor that the criteria were given: its memory identifies the shared upstream pass.
        waveform = self.enh_model.sorted_estimates(enhanced, perm)
        lengths = speech_lengths.repeat(len(enhanced))
        text, all_text_lengths = torch.cat(texts), torch.cat(text_lengths)
        loss, stats, _ = self.s2t_model(waveform, lengths, text, all_text_lengths)
        stats = {name: value for name, value in stats.items() if name not in ("loss", "cer_ctc")}
        if not self.training and self.s2t_model.ctc is not None:
            frames, frame_lengths = self.s2t_model.encode(waveform, lengths)
            frames = frames[0] if isinstance(frames, tuple) else frames
            scores = self.s2t_model.ctc.log_softmax(frames)
            stats["wer_ctc"], stats["cer_ctc"] = greedy_error_rates(
                scores, frame_lengths, text, all_text_lengths, self.s2t_model.token_list
            )
        return loss.squeeze(), stats

    def _pad_texts(self, texts):
        longest = max(text.shape[1] for text in texts)
        pad = torch.nn.functional.pad
        return [pad(text, (0, longest - text.shape[1]), value=self.s2t_model.ignore_id) for text in texts]


class CheckedLoading(AbsTask):
    """Loading of trained models in which every weight has to be there.

    ESPnet's own runs code that a file may hold, and leaves missing weights at random values.
    """

    @classmethod
    def build_model_from_file(cls, config_file=None, model_file=None, device="cpu"):
        """Build the model of a configuration and load its weights.

        Args:
            config_file: config.yaml; where left out, the one beside `model_file`.
            model_file: Weights; None for random ones.
            device: Where the model goes.

        Returns:
            The model and the configuration.

        Raises:
            ValueError: For neither file, or weights that do not fit.
            FileNotFoundError: For a file that is not there.
        """
        if config_file is None and model_file is None:
            raise ValueError("give a configuration, or a model file with its config.yaml beside it")
        config = Path(model_file).parent / "config.yaml" if config_file is None else Path(config_file)
        args = argparse.Namespace(**yaml.safe_load(config.read_text(encoding="utf-8")))
        if getattr(args, "use_adapter", False):
            return super().build_model_from_file(config_file, model_file, device)
        model = cls.build_model(args)
        if model_file is not None:
            load_weights(model, read_weights(model_file), where=str(model_file))
        return model.to(device), args


# Arguments of ESPnet's classes that are not options: its tasks give them.
_GIVEN = (
    *("input_dim", "input_size", "vocab_size", "encoder_output_size", "token_list"),
    *("encoder", "separator", "decoder", "mask_module", "loss_wrappers"),
    *("frontend", "specaug", "normalize", "preencoder", "postencoder", "ctc", "joint_network"),
)
# ESPnet does not tell a preencoder the size of its input.
_KEPT = {"preencoder": ["input_size"], "asr_preencoder": ["input_size"]}


class EnhTask(CheckedLoading, EnhancementTask):
    """Training of the front-end alone."""

    trainer = ResumableTrainer

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetEnhancementModel:
        """Build ESPnet's model, then make it aware of lengths."""
        check_classes(cls.class_choices_list, args, taken=_GIVEN, kept=_KEPT)
        criteria = check_criteria("criterions", getattr(args, "criterions", None))
        stock_conf, own = split_options("model_conf", args.model_conf)
        args = argparse.Namespace(**{**vars(args), "criterions": criteria, "model_conf": stock_conf})
        with training_speech(getattr(args, "train_data_path_and_name_and_type", None)):
            stock = super().build_model(args)
        return check_adapter(LengthAwareEnhancementModel.from_stock(stock, **own), args)


class JointTask(OneDNNOption, CheckedLoading, EnhS2TTask):
    """Joint training of front-end and recognizer."""

    trainer = ResumableTrainer
    own_options = ("enh_weight", "asr_weight")

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetEnhS2TModel:
        """Build ESPnet's sub-models, then join them in this package's model."""
        # ESPnet fills in the defaults of its own joint model.
        stock_options = get_default_kwargs(ESPnetEnhS2TModel).items()
        chosen = {key: value for key, value in args.model_conf.items() if (key, value) not in stock_options}
        own = check_mapping("model_conf", chosen, cls.own_options)
        check_classes(cls.class_choices_list, args, taken=_GIVEN, kept=_KEPT)
        check_conf("asr_model_conf", args.asr_model_conf, ESPnetASRModel, taken=_GIVEN)
        criteria = check_criteria("enh_criterions", args.enh_criterions)
        stock_conf, own_enh = split_options("enh_model_conf", args.enh_model_conf)
        changed = {"model_conf": {}, "enh_model_conf": stock_conf, "enh_criterions": criteria}
        with training_speech(getattr(args, "train_data_path_and_name_and_type", None)):
            stock = super().build_model(argparse.Namespace(**{**vars(args), **changed}))
        enh_model = LengthAwareEnhancementModel.from_stock(stock.enh_model, **own_enh)
        if own_enh.get("ignore_padding", True):
            stock.s2t_model.frontend = ignore_padding(stock.s2t_model.frontend)
        stock.s2t_model.encoder = accept_any_order(stock.s2t_model.encoder)
        model = drop_in_training_only(JointModel(enh_model, stock.s2t_model, **own))
        return check_adapter(model, args)


class RecognitionTask(CheckedLoading, ASRTask):
    """Training of a recognizer, with this package's front-ends known."""

    trainer = ResumableTrainer

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """Check the options of all parts, then build ESPnet's model; its dropout keeps to training."""
        check_classes(cls.class_choices_list, args, taken=_GIVEN, kept=_KEPT)
        return check_adapter(drop_in_training_only(super().build_model(args)), args)


class PretrainTask(HubertTask):
    """Pre-training of a small HuBERT."""

    trainer = ResumableTrainer


def default_config(task: type[AbsTask]) -> dict[str, Any]:
    """A task's configuration where nothing is chosen.

    ESPnet's own get_default_config() reads the command line of whatever program calls it: options of that program
    that happen to be called as ESPnet's would be in the result, or end the program.

    Args:
        task: One of ESPnet's tasks.

    Returns:
        Option -> value, with those of the default classes.
    """
    given = sys.argv
    sys.argv = given[:1]
    try:
        return task.get_default_config()
    finally:
        sys.argv = given
