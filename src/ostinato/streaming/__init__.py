"""A model one step at a time, alone or many at once, and its state as bytes.

`stepper` advances a layer on NumPy arrays, `row_stepper` any rows of many; `Stream` is what the streams of all tasks
are, and `push_many` pushes into many of them at once.
"""

from ostinato.engine.run.arrays import to_arrays
from ostinato.streaming.cells import Headed
from ostinato.streaming.protocol import (
    NOTHING,
    Request,
    Row,
    RowStream,
    SharedSteps,
    Steps,
    Stream,
    checked_layers,
    push_many,
    shared_steps,
    weights_mark,
)
from ostinato.streaming.rows import RowStepper, row_stepper
from ostinato.streaming.sound import SoundStream
from ostinato.streaming.states import refused
from ostinato.streaming.stepper import ArrayState, Stepper, stepper

__all__ = [
    "NOTHING",
    "ArrayState",
    "Headed",
    "Request",
    "Row",
    "RowStepper",
    "RowStream",
    "SharedSteps",
    "SoundStream",
    "Stepper",
    "Steps",
    "Stream",
    "checked_layers",
    "push_many",
    "refused",
    "row_stepper",
    "shared_steps",
    "stepper",
    "to_arrays",
    "weights_mark",
]
