"""Clips that are drawn, of which all is known: moving shapes with their sentences, stick figures with what they do.

They are what tests, demos and benchmarks of video stand on where no film is at hand: small, exact, and the same for the
same seed.
"""

from ostinato.data.made_clips.clip import MadeClip
from ostinato.data.made_clips.figures import ACTIONS, JOINTS, stick_figures
from ostinato.data.made_clips.shapes import COLOURS, DIRECTIONS, SHAPES, Movement, moving_shapes
from ostinato.data.made_clips.writing import write_clips

__all__ = [
    "ACTIONS",
    "COLOURS",
    "DIRECTIONS",
    "JOINTS",
    "SHAPES",
    "MadeClip",
    "Movement",
    "moving_shapes",
    "stick_figures",
    "write_clips",
]
