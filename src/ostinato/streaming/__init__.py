"""A model one step at a time, alone or many at once, and its state as bytes.

`stepper` advances a layer on NumPy arrays.
"""

from ostinato.streaming.stepper import ArrayState, Stepper, stepper

__all__ = ["ArrayState", "Stepper", "stepper"]
