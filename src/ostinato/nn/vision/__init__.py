"""Pictures as features: small convolutional networks that frames of a video go through."""

from ostinato.nn.vision.frame_encoder import FrameEncoder
from ostinato.nn.vision.place_reader import PlaceReader
from ostinato.nn.vision.two_paths import TwoPathReader

__all__ = ["FrameEncoder", "PlaceReader", "TwoPathReader"]
