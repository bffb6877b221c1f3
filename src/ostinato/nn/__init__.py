"""Layers made of cells."""

from ostinato.nn.recurrent import Recurrent

__all__ = ["Recurrent"]
