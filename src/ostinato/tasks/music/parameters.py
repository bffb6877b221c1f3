"""The parameters of a composer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, Parameters
from ostinato.training.config import Optimizer, Schedule

Kind: TypeAlias = Literal["frames", "events"]
HeadName: TypeAlias = Literal["voices", "nade", "independent"]


@dataclass(kw_only=True, eq=False, repr=False)
class MusicParameters(Parameters):
    """The parameters of a `Composer`."""

    about: ClassVar[About] = About(
        name="music",
        kind="composer",
        help="predict the next notes of pieces of music, and write new ones",
        description="Train a recurrent model of music, hold pieces out, and show it beside simple models of chords.",
        examples="""
  ostinato fit music chorales --out model
  ostinato fit music JSB_Chorales.mat --steps-per-quarter 1 --out model
  ostinato fit music performances --representation events --out model
  ostinato compose model --bars 16 --out piece.mid""",
        files="a folder of MIDI files, ABC tunes or piano rolls (.mat, .npz, .json), or one such file",
        hint="ostinato compose {out} --out piece.mid writes music, ostinato report {out} shows the model",
        extras={
            "stream": (
                Extra("temperature", float, "draw the notes that are said to follow, rather than take the best (0)"),
                Extra("seed", int, "of what is drawn (0)"),
                Extra("key", str, "that a model with this condition is told: G, Bb, F#m (the usual one of training)"),
                Extra("metre", str, "likewise, beats of a bar: 3/4 (the usual one of training)"),
            )
        },
        demos=(
            Demonstration(
                "music", "Chorale-like pieces made by rules, learned, continued and harmonised, as MIDI files",
                "ostinato.tasks.music.demo:run",
            ),
        ),
    )  # fmt: skip

    representation: Kind = data(
        "frames", "what a step is: all notes that sound at a time, or a single event of a performance"
    )
    steps_per_quarter: int | None = data(
        None, "steps of the grid that a quarter has", low=1, high=96, absent="4 of frames, 12 of events"
    )
    notes: Literal["piano", "found"] = data("piano", "of frames: the 88 notes of a piano, or those found in training")
    drums: bool = data(False, "keep the drums of MIDI files")
    key: bool = model(False, "of frames: the key is a condition: it is told to the model, and to compose")
    metre: bool = model(False, "of frames: the place within the bar is a condition")
    head: HeadName = model(
        "voices", "of frames: notes of a step one after the other, from the top; NADE over notes; each by itself"
    )
    head_size: int = model(200, "of voices and nade: units that read the notes of a step", low=1)
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, or transformer")
    hidden_size: int = model(200, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    input_dropout: float = model(0.0, "of what is read, one mask for each piece", low=0, below=1)
    dropout: float = model(0.2, "of layers' outputs, one mask for each piece, and within the head", low=0, below=1)
    transpose: int = training(
        6, "semitones up and down that pieces are transposed by in training, at most", low=0, high=24
    )
    steps: int = training(256, "steps of a piece through which gradients go", low=1)
    batch_size: int = training(4, "pieces in a batch", low=1)
    epochs: int | None = training(
        None,
        "passes over the training pieces, at most",
        low=1,
        absent="by the steps of all pieces, 5 to 100; 100 with max_seconds",
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(6e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(10, "epochs without a better validation loss before training stops", low=1)
