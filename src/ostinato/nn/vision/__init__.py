"""Pictures as features: small convolutional networks, or a large one as it is, that frames go through one by one."""

from ostinato.nn.vision.frame_encoder import FrameEncoder
from ostinato.nn.vision.frozen import FrozenFrames
from ostinato.nn.vision.place_reader import PlaceReader
from ostinato.nn.vision.two_paths import TwoPathReader

__all__ = ["FrameEncoder", "FrozenFrames", "PlaceReader", "TwoPathReader"]
