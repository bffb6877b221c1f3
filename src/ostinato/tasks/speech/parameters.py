"""The parameters of a speech recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, Parameters
from ostinato.training.config import Optimizer, Schedule

_STREAM = (
    Extra("rate", int, "of the samples that come, in Hz, 16-bit little-endian, one channel (the model's)"),
    Extra("silence", float, "seconds in which nothing is said that end an utterance (the model's)"),
)


@dataclass(kw_only=True, eq=False, repr=False)
class SpeechParameters(Parameters):
    """The parameters of a `Transcriber`."""

    about: ClassVar[About] = About(
        name="speech",
        kind="speech recogniser",
        help="write down what is said in recordings, or live",
        description="Train a recurrent network with CTC or a transducer on recordings and their transcripts, hold some "
        "out, and show it beside simple baselines.",
        examples="""
  ostinato fit speech clips.csv --audio path --text sentence --out model
  ostinato fit speech clips.csv --audio path --text sentence --speaker reader --streaming --out model
  ostinato fit speech kaldi/train --test-file kaldi/test --out model
  ostinato predict model a.wav b.flac --json
  arecord -f S16_LE -r 16000 -t raw | ostinato stream model --rate 16000""",
        files="a table (CSV, TSV, JSON lines) of audio files and transcripts, a Kaldi folder (wav.scp, text), or a "
        "folder of NAME.wav and NAME.txt",
        hint="ostinato predict {out} FILE.wav writes down what is said; ostinato report {out} shows it",
        extras={"stream": _STREAM},
        many=True,
        demos=(
            Demonstration(
                "speech",
                "Spoken numbers that espeak-ng makes, or a folder of yours, written down live",
                "ostinato.tasks.speech.demo:run",
            ),
        ),
    )
    unsized: ClassVar[frozenset[str]] = frozenset(
        {"beam_size", "subsampling", "pyramid", "language_weight", "hot_bonus"}
    )

    audio: str | None = data(None, "column of the audio files", absent="found by its name")
    text: str | None = data(None, "column of the transcripts", absent="found by its name")
    speaker: str | None = data(
        None, "column of the speakers, of whom each is on one side of the split", absent="found by its name"
    )
    rate: int | None = data(
        None,
        "samples a second that sounds are brought to",
        low=1000,
        absent="the recordings' most frequent, up to 16000",
    )
    bins: int | None = data(None, "mel bands of a frame", low=4, high=256, absent="40 below 16 kHz, else 80")
    units: Literal["character", "word", "subword"] = data("character", "what the network writes")
    vocabulary_size: int | None = data(
        None, "units at most", low=1, absent="all; 300 to 2000 subwords, by the size of the texts"
    )
    min_count: int = data(1, "how often a character or word must occur to be a unit", low=1)
    lower: bool = data(False, "make transcripts lower-case; letter case then does not count")
    punctuation: bool = data(True, "keep marks of punctuation in transcripts")
    validation: float = data(0.1, "share of the utterances, drawn, that decides when to stop", low=0, below=0.5)
    test: float = data(0.1, "share of the utterances, drawn, that is held out to be judged on", low=0, below=0.5)
    streaming: bool = model(
        False, "a model that answers while it listens: one direction, causal convolutions, running normalisation"
    )
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, or transformer")
    hidden_size: int = model(128, "units of a layer in each direction", low=1)
    num_layers: int = model(2, "recurrent layers", low=1)
    bidirectional: bool | None = model(None, "read recordings from their end too", absent="unless streaming")
    causal: bool | None = model(None, "convolutions see no later frame", absent="if streaming")
    normalize: Literal["utterance", "running", "global"] | None = model(
        None,
        "by what frames are standardised: the whole utterance, what was heard so far, the training data",
        absent="utterance of 3 s and more; else, and if streaming, running",
    )
    channels: int = model(32, "of the two convolutions over time and frequency", low=1)
    subsampling: int | None = model(
        None,
        "frames that the convolutions make one",
        low=1,
        high=8,
        absent="8 where transcripts leave ample room, else 4, or fewer where they need them",
    )
    pyramid: int = model(0, "layers that read two steps of the one before as one", low=0, high=3)
    layer_norm: bool = model(True, "normalise what layers read and give")
    dropout: float = model(0.2, "of what layers read", low=0, below=1)
    loss: Literal["ctc", "transducer", "both"] | None = model(
        None,
        "what is learned; with both the transducer writes",
        absent="both of 200 short utterances and more, else ctc",
    )
    ctc_weight: float = model(0.3, "share of CTC in the loss of both", low=0, high=1)
    beam_size: int = model(
        1, "hypotheses followed side by side; 1: the most probable unit each time, or 16 where words are helped", low=1
    )
    language_model: str | None = model(
        None,
        "what texts are like: ngrams (of the training transcripts), the folder of a fitted language model, or an ARPA "
        "file",
        absent="none",
    )
    language_weight: float | None = model(
        None, "how much the language model counts", low=0, high=5, absent="found on the validation part"
    )
    words: str | None = model(None, "file of the words that may be written, one a line", absent="any")
    hot_words: Sequence[str] = model((), "words that are preferred, separated by commas")
    hot_bonus: float = model(4.0, "what a preferred word adds to the score, in nats", low=0, high=50)
    silence: float = model(1.0, "seconds in which nothing is said that end an utterance, of streaming models", above=0)
    augmentation: float | None = training(
        None,
        "how much training frames are changed: masks, speed, pitch, loudness, noise",
        low=0,
        high=2,
        absent="1 of fewer than 200 utterances, else 0.5",
    )
    batch_size: int | None = training(
        None, "utterances of a batch, at most", low=1, absent="an eighth of the training part, 4 to 16"
    )
    batch_seconds: float = training(60.0, "seconds of a batch, padding counted", above=0)
    epochs: int | None = training(
        None, "passes over the training utterances, at most", low=1, absent="as many as make 2,500 steps, 10 to 150"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.01, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    gradient_clip: float | None = training(1.0, "greatest L2 norm of the gradient", above=0)
    patience: int | None = training(None, "epochs without a better validation loss before training stops", low=1)
