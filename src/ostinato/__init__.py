"""Ostinato: recurrent sequence models, from a raw file to a live stream."""

__version__ = "0.1.0.dev0"
