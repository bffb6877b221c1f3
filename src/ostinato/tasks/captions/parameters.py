"""The parameters of a captioner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, Parameters
from ostinato.training.config import Optimizer, Schedule

_STREAM = (
    Extra("seconds", float, "of the clip that a caption is about: the last ones (as long as training clips are)"),
    Extra("every", float, "seconds from one caption to the next (1)"),
    Extra("frame_rate", float, "frames a second that come (the model's)"),
)
_PREDICT = (Extra("alternatives", int, "captions of each clip, the best first, of those that the beam holds (1)"),)


@dataclass(kw_only=True, eq=False, repr=False)
class CaptionParameters(Parameters):
    """The parameters of a `Captioner`."""

    about: ClassVar[About] = About(
        name="captions",
        kind="captioner",
        help="say in a sentence what a clip shows",
        description="Train an encoder of frames and a recurrent decoder with attention over time on clips and what "
        "people said of them, hold some clips out, and show it beside simple baselines.",
        examples="""
  ostinato fit captions clips.csv --video path --text caption --out model
  ostinato fit captions clips.csv --video path --text caption --group film --size 64 --max-seconds 600 --out model
  ostinato predict model clip.mp4 --alternatives 3
  ostinato evaluate model other.csv""",
        files="a table (CSV, TSV, JSON lines, Parquet) with a clip and a caption in each row; a clip that is in "
        "several rows has several captions",
        hint="ostinato predict {out} CLIP.mp4 says what it shows; ostinato report {out} shows the model",
        extras={"stream": _STREAM, "predict": _PREDICT},
        many=True,
        demos=(
            Demonstration(
                "captions",
                "Moving shapes that are drawn on the spot, and what a model says of combinations it never saw",
                "ostinato.tasks.captions.demo:run",
            ),
        ),
    )
    unsized: ClassVar[frozenset[str]] = frozenset({"beam_size"})

    video: str | None = data(None, "column of the clips: files, folders, arrays", absent="found by its name")
    text: str | None = data(None, "column of the captions", absent="found by its name")
    group: str | None = data(
        None, "column of what is on one side of the split, such as the film of a clip", absent="each clip by itself"
    )
    size: int | None = data(
        None, "pixels of the shorter side of a frame", low=16, high=512, absent="as clips have, 48 at most"
    )
    rate: float | None = data(
        None, "frames a second", above=0, high=100, absent="as clips have, 8 at most; all of arrays"
    )
    max_frames: int = data(32, "frames of a clip, at even distances, where it has more", low=2, high=10_000)
    level: Literal["word", "subword", "character"] = data("word", "what a token of a caption is")
    vocabulary_size: int | None = data(None, "tokens at most", low=1, absent="all")
    min_count: int = data(1, "how often a word must occur to be written", low=1)
    lower: bool = data(True, "make captions lower-case")
    max_length: int = data(60, "tokens of a caption; what is behind them is cut off in training", low=1)
    validation: float = data(0.1, "share of the clips, drawn, that decides when to stop", low=0, below=0.5)
    test: float = data(0.1, "share of the clips, drawn, that is held out to be judged on", low=0, below=0.5)
    tokenize: str = data("13a", "how sacrebleu splits words for BLEU: 13a, intl, zh, ja-mecab, char")
    widths: Sequence[int] = model((16, 24, 48), "channels of the convolutions over a frame")
    heads: int = model(4, "places of a frame that are looked at side by side", low=1)
    cell: Cell = model("gru", "recurrent cell of encoder and decoder, any of docs/cells.md")
    attention: Literal["additive", "dot", "general", "multihead"] = model("additive", "over time")
    embedding_size: int | None = model(None, "features of a token", low=1, absent="half of hidden_size")
    hidden_size: int = model(128, "units of the decoder; the encoder has half of them in each direction", low=2)
    num_layers: int = model(1, "recurrent layers of encoder and decoder", low=1)
    dropout: float = model(0.1, "of features, embeddings, between layers, of what scores are made of", low=0, below=1)
    beam_size: int = model(5, "hypotheses followed side by side", low=1)
    length_penalty: float = model(0.6, "towards 1, longer captions are preferred", low=0)
    min_length: int | None = model(
        None, "tokens that a caption has at least", low=0, absent="as all but one in twenty training captions have"
    )
    block_ngrams: int | None = model(
        None,
        "no sequence of so many tokens is written twice; 0: no such limit",
        low=0,
        absent="the least that hardly a training caption has twice",
    )
    word_dropout: float = training(
        0.3, "share of the tokens before that the decoder is not shown, so that it has to look", low=0, high=1
    )
    look_first: float | None = training(
        None,
        "share of the training, at first, in which it is shown none of them",
        low=0,
        high=1,
        absent="0.3 where the same few words are said again and again, else 0.1",
    )
    word_swap: float | None = training(
        None,
        "share of the tokens before that are exchanged for others that stand between the same words",
        low=0,
        high=1,
        absent="0.5 where the same few words are said again and again, else 0.2",
    )
    label_smoothing: float = training(0.0, "share of each target token that goes to all others", low=0, below=1)
    augmentation: float = training(0.5, "how much training clips are moved and lit otherwise; 0: not", low=0, high=2)
    captions_each: int = training(5, "captions of a clip that are read in an epoch, drawn", low=1)
    batch_size: int | None = training(None, "clips of a batch", low=1, absent="an eighth of the training part, 4 to 16")
    epochs: int | None = training(
        None, "passes over the training clips, at most", low=1, absent="for 1,200 steps, 8 to 150; with max_seconds 600"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    gradient_clip: float | None = training(1.0, "greatest L2 norm of the gradient", above=0)
    patience: int | None = training(None, "epochs without a better validation loss before training stops", low=1)
