"""The parameters of a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Extra, Parameters
from ostinato.training.config import Optimizer, Schedule

Output: TypeAlias = Literal["softmax", "sampled", "adaptive"]


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageParameters(Parameters):
    """The parameters of a `LanguageModel`."""

    about: ClassVar[About] = About(
        name="language",
        kind="language model",
        help="predict the next character, word or subword of a text",
        description="Train a recurrent language model on a text, hold out its end, and show it beside n-gram models.",
        examples="""
  ostinato fit language shakespeare.txt --out model
  ostinato fit language train.txt --level word --validation-file valid.txt --test-file test.txt --out model
  ostinato generate model --prompt "ROMEO:\"""",
        files="a text, also .gz",
        hint="ostinato generate {out} lets it write, ostinato report {out} shows it",
        extras={
            "evaluate": (
                Extra("dynamic", float, "learn from what has been scored, with this learning rate (1e-4)", bare=True),
                Extra("cache", int, "mix in the last N tokens by a neural cache (500)", bare=True),
            )
        },
    )

    level: Literal["character", "word", "subword"] = data("character", "what a token is")
    vocabulary_size: int | None = data(None, "tokens at most", low=1, absent="all; 8000 subwords")
    min_count: int = data(1, "how often a token must occur to be known", low=1)
    lower: bool = data(False, "make texts lower-case")
    ngrams: bool = data(True, "mix the network with n-grams of the training text, by a gate that is learned")
    validation: float = data(0.05, "share of the end that decides when to stop", low=0, below=0.5)
    test: float = data(0.05, "share of the end that is held out to be judged on", low=0, below=0.5)
    cell: Cell = model("lstm", "recurrent cell, any of docs/cells.md, or transformer")
    embedding_size: int | None = model(None, "features of a token", low=1, absent="as hidden_size")
    hidden_size: int = model(256, "units of a layer", low=1)
    num_layers: int = model(1, "layers", low=1)
    tie_weights: bool | None = model(
        None, "use the embedding as the matrix of the scores", absent="of words and subwords"
    )
    output: Output | None = model(
        None,
        "softmax over all tokens; for large vocabularies sampled, or adaptive: narrower for rare tokens",
        absent="sampled of a long text with more than 4 x samples tokens, else softmax",
    )
    samples: int = model(1024, "of sampled: tokens drawn for a batch", low=1)
    proposal: Literal["unigram", "log_uniform"] = model("unigram", "of sampled: what tokens are drawn by")
    dropout: float | None = model(
        None, "of layers' outputs, one mask for each piece", low=0, below=1, absent="by the size of the text: 0 to 0.5"
    )
    input_dropout: float | None = model(
        None, "of embeddings, one mask for each piece", low=0, below=1, absent="by the size of the text; 0 with dropout"
    )
    embedding_dropout: float = model(0.0, "of whole words", low=0, below=1)
    weight_drop: float = model(0.0, "of recurrent weights", low=0, below=1)
    steps: int = model(64, "tokens of a piece of text, through which gradients go", low=1)
    jitter: bool = training(False, "draw the length of each piece around steps")
    activation_regularization: float = training(0.0, "weight of a penalty on the size of outputs", low=0)
    temporal_activation_regularization: float = training(
        0.0, "weight of a penalty on the change of outputs from step to step", low=0
    )
    batch_size: int | None = training(
        None, "rows of text that are read side by side", low=1, absent="by the size of the text: 8 to 16"
    )
    epochs: int | None = training(
        None,
        "passes over the training text, at most",
        low=1,
        absent="for 3,000 steps, 1 to 15; 15 with max_seconds",
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(5e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(5, "epochs without a better validation loss before training stops", low=1)
