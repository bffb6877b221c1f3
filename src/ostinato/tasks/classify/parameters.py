"""The parameters of classifiers: those that both have, and each one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Tables, TimedTables
from ostinato.training.config import Averaged, Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class ClassParameters(Tables):
    """The parameters of all classifiers."""

    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, or transformer")
    hidden_size: int = model(64, "units of a layer and direction", low=1)
    num_layers: int = model(1, "layers", low=1)
    dropout: float = model(0.5, "of layers' outputs and of the pooled vector", low=0, below=1)
    weight_drop: float = model(0.0, "of recurrent weights", low=0, below=1)
    class_weights: Literal["none", "balanced"] | Mapping[Any, float] = training(
        "none", "how much each class counts in the loss; in Python also by label"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    averaging: Averaged | None = training("ema", "of weights over steps: the average is validated and kept")


@dataclass(kw_only=True, eq=False, repr=False)
class TextParameters(ClassParameters):
    """The parameters of a `TextClassifier`."""

    about: ClassVar[About] = About(
        name="classification",
        kind="text classifier",
        help="tell the class of a text: sentiment, topic, intent",
        description="Train a recurrent classifier of texts, hold out a part, and show it beside a bag of words.",
        examples="""
  ostinato fit classification reviews.csv --text review --label stars --out model
  ostinato fit classification train.tsv --text 0 --label 1 --unquoted --validation-file dev.tsv --out model
  ostinato fit classification tickets.jsonl --text body --label queue --class-weights balanced --out model
  echo "a fine film" | ostinato predict model""",
        files="CSV, TSV, JSON lines or Parquet, a text a row; text also .gz",
        tables=True,
        hint='echo "..." | ostinato predict {out}',
    )

    text: str | int = data("text", "column of the texts, or its number from 0 if there is no header")
    label: str | int = data("label", "column of the classes, likewise")
    unquoted: bool = data(False, 'take " as an ordinary character of CSV and TSV files')
    level: Literal["word", "subword", "character"] = data("word", "what a token is")
    split: Literal["words", "whitespace"] = data("words", "how words are split: also from punctuation, or at spaces")
    vocabulary_size: int | None = data(None, "tokens at most", low=1, absent="all; 4000 subwords")
    min_count: int = data(1, "how often a word or character must occur to be known", low=1)
    lower: bool = data(True, "make texts lower-case")
    vectors: str | None = model(None, "text file of word vectors (word2vec, GloVe, fastText) to start from")
    freeze_vectors: bool = model(False, "keep the word vectors as they are")
    wide: bool = model(True, "words, pairs and parts of words in a linear layer beside the network")
    embedding_size: int = model(64, "features of a token, unless the vectors say so", low=1)
    bidirectional: bool = model(True, "read from the end too")
    pooling: str = model("max", "last, mean, max, attention, or several: mean+max")
    chunk: int | None = model(
        256, "tokens of a long text that are read together; all chunks are pooled together", low=8, absent="no chunks"
    )
    train_chunks: int = model(2, "chunks of a text, drawn at random, that each training step reads at most", low=1)
    input_dropout: float = model(0.4, "of embeddings, one mask for each text", low=0, below=1)
    embedding_dropout: float = model(0.2, "of whole words, everywhere in a batch", low=0, below=1)
    word_dropout: float = model(0.2, "of single words, which become unknown", low=0, below=1)
    label_smoothing: float = training(0.05, "share of the target given to all classes alike", low=0, below=1)
    batch_size: int = training(32, "texts of a batch", low=1)
    validation: float = data(0.1, "share of every class that decides when to stop", low=0, below=0.5)
    test: float = data(0.1, "share of every class that is held out to be judged on", low=0, below=0.5)
    epochs: int | None = training(None, "passes, at most", low=1, absent="as many as make 1,750 steps, 8 to 100")
    learning_rate: float = training(5e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.3, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    patience: int | None = training(5, "epochs without a better validation loss before training stops", low=1)
    averaging_decay: float = training(0.998, "of ema: what is left of the average after a step", above=0, below=1)


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceParameters(ClassParameters, TimedTables):
    """The parameters of a `SequenceClassifier`."""

    about: ClassVar[About] = About(
        name="sequences",
        kind="sequence classifier",
        help="tell the class of a numeric sequence: sensors, ECG, UCR/UEA files",
        description="Train a recurrent classifier of numeric sequences of one or more channels, hold out a part, and "
        "show it beside MiniRocket and nearest neighbours under dynamic time warping. A model that is to stream steps "
        "is fitted with --no-bidirectional.",
        examples="""
  ostinato fit sequences JapaneseVowels_TRAIN.ts --test-file JapaneseVowels_TEST.ts --out model
  ostinato fit sequences beats.csv --series-id beat --time second --label kind --out model
  ostinato predict model JapaneseVowels_TEST.ts
  some-sensor | ostinato stream model
  ostinato fit sequences clips.csv --audio path --label word --out words     sounds, each of a class
  ostinato predict words a.wav b.wav""",
        files="a .ts file, or a long table (CSV, TSV, Parquet, JSON lines): one row a step; or sounds: a table of "
        "their paths and classes, or a folder of a folder a class",
        many=True,
        tables=True,
        hint="ostinato predict {out} FILE",
    )

    series_id: str = data("id", "column that says which sequence a row belongs to")
    label: str = data("label", "column of the class")
    time: str | None = data(None, "column of the times", absent="none: rows are in order and equally spaced")
    channels: Sequence[str] = data((), "columns of values", absent="all other numeric ones")
    audio: str | None = data(
        None, "column of the paths of sounds, which are read as frames of their energy by pitch", absent="none"
    )
    sample_rate: int | None = data(
        None, "of sounds, samples a second that they are resampled to", low=1000, high=192000, absent="8000 or 16000"
    )
    mel_bins: int = data(40, "of sounds, bands of pitch, each a channel", low=3, high=256)
    dtw_window: float = data(1.0, "how far the DTW baseline may stray, a share of the length", low=0, high=1)
    bidirectional: bool = model(True, "read from the end too; a model that is to stream steps must not")
    pooling: str = model("mean+max", "last, mean, max, attention, or several: mean+max")
    convolutions: Sequence[int] | None = model(
        None, "channels after each block of convolutions before the stack, as 32,32; 0: none", absent="chosen by data"
    )
    width: int = model(39, "steps that the widest convolution sees; others see a half and a quarter of it", low=1)
    stride: int | None = model(
        None, "steps from one output of the convolutions to the next", low=1, absent="as many as leave about 128"
    )
    members: int | None = model(
        None, "networks of other weights whose probabilities are averaged", low=1, high=5, absent="3; 2 for large sets"
    )
    kernels: int | None = model(
        None, "random convolutions of each kind beside the networks; 0: none", low=0, absent="up to 4,998, by the size"
    )
    input_dropout: float = model(0.0, "of what the stack reads, one mask for each sequence", low=0, below=1)
    value_dropout: float = model(0.0, "of single values, which become missing", low=0, below=1)
    augmentation: float = training(
        0.5, "strength of changes to training sequences: noise, scale, speed, gaps", low=0, high=1
    )
    label_smoothing: float = training(0.05, "share of the target given to all classes alike", low=0, below=1)
    batch_size: int = training(16, "sequences of a batch", low=1)
    validation: float = data(
        0.0,
        "share of every class that decides when to stop; without, each network leaves a fifth out",
        low=0,
        below=0.5,
    )
    test: float = data(0.15, "share of every class that is held out to be judged on", low=0, below=0.5)
    epochs: int | None = training(
        None, "passes over the training sequences, at most", low=1, absent="by the size of the data"
    )
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.01, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    patience: int | None = training(None, "epochs without a better validation loss before training stops", low=1)
    averaging_decay: float = training(0.99, "of ema: what is left of the average after a step", above=0, below=1)
