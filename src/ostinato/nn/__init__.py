"""Layers made of cells."""

from ostinato.nn.recurrent import LayerStates, Recurrent

__all__ = ["LayerStates", "Recurrent"]
