"""ESPnet's programs of decoding, with this package's tasks in the place of the stock ones that they name."""

from espnet2.bin import asr_inference, enh_inference

from espnet_plugins.compat import set_joint_task
from espnet_plugins.tasks import EnhTask, JointTask, RecognitionTask

asr_inference.ASRTask = RecognitionTask
set_joint_task(JointTask)
enh_inference.EnhancementTask = EnhTask
enh_inference.EnhS2TTask = JointTask

__all__ = ["asr_inference", "enh_inference"]
