"""Pictures as features: a small convolutional network, or a large one as it is, that frames go through one by one."""

from ostinato.nn.vision.frame_encoder import FrameEncoder
from ostinato.nn.vision.frozen import FrozenFrames

__all__ = ["FrameEncoder", "FrozenFrames"]
