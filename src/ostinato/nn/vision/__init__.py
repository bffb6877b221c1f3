"""Pictures as features: a small convolutional network that frames of a video go through one by one."""

from ostinato.nn.vision.frame_encoder import FrameEncoder

__all__ = ["FrameEncoder"]
