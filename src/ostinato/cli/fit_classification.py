"""`ostinato fit classification FILE --text COL --label COL --out DIR`, and `ostinato fit sequences FILE --out DIR`."""

from __future__ import annotations

from ostinato.cli.options import Option, columns, sizes, texts, yes_or_no
from ostinato.cli.recipe import AVERAGING, TRAINING, Recipe


def column(text: str) -> int | str:
    """Return a column's number, for files without a header, or its name."""
    return int(text) if text.isdecimal() else text


_MODEL = (
    Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (gru)"),
    Option("model", "hidden_size", int, "units of a layer and direction (64)"),
    Option("model", "num_layers", int, "layers (1)"),
    Option("model", "bidirectional", yes_or_no, "read from the end too: yes (texts), no (sequences)"),
    Option("model", "pooling", str, "last, mean, max, attention, or several: mean+max"),
    Option("model", "dropout", float, "of layers' outputs and of the pooled vector"),
    Option("model", "input_dropout", float, "of what the stack reads, one mask for each sequence"),
    Option("model", "weight_drop", float, "of recurrent weights (0)"),
)
_LOSS = (
    Option("training", "class_weights", str, "how much each class counts (none)", ("none", "balanced")),
    Option("training", "label_smoothing", float, "share of the target given to all classes alike (0)"),
)
_SHARES = (
    Option("data", "validation", float, "share of every class that decides when to stop"),
    Option("data", "test", float, "share of every class that is held out"),
)
TEXTS = Recipe(
    name="classification",
    estimator="ostinato.tasks.classify:TextClassifier",
    help="tell the class of a text: sentiment, topic, intent",
    description="Train a recurrent classifier of texts, hold out a part, and show it beside a bag of words.",
    epilog="""examples:
  ostinato fit classification reviews.csv --text review --label stars --out model
  ostinato fit classification train.tsv --text 0 --label 1 --unquoted --validation-file dev.tsv --out model
  ostinato fit classification tickets.jsonl --text body --label queue --class-weights balanced --out model
  echo "a fine film" | ostinato predict model
""",
    file_help="CSV, TSV, JSON lines or Parquet, a text a row; text also .gz",
    options=(
        Option("data", "text", column, "column of the texts, or its number from 0 if there is no header (text)"),
        Option("data", "label", column, "column of the classes, likewise (label)"),
        Option("data", "level", str, "what a token is (word)", ("word", "subword", "character")),
        Option("data", "split", str, "how words are parted (words)", ("words", "whitespace")),
        Option("data", "vocabulary_size", int, "tokens at most (all; 4000 subwords)"),
        Option("data", "lower", yes_or_no, "make texts lower-case: yes or no (yes)"),
        Option("data", "min_count", int, "how often a word must occur to be known (1)"),
        Option("data", "vectors", str, "text file of word vectors (word2vec, GloVe) to start from"),
        *_SHARES,
        *_MODEL,
        Option("model", "embedding_size", int, "features of a token (64)"),
        Option("model", "embedding_dropout", float, "of whole words, everywhere in a batch (0)"),
        Option("model", "word_dropout", float, "of single words, which become unknown"),
        *_LOSS,
        *TRAINING,
        *AVERAGING,
    ),
    flags={
        "unquoted": ("data", 'take " as an ordinary character of CSV and TSV files'),
        "frozen": ("model", "keep the word vectors as they are"),
    },
    tables=True,
    hint='echo "..." | ostinato predict {out}',
)
SEQUENCES = Recipe(
    name="sequences",
    estimator="ostinato.tasks.classify:SequenceClassifier",
    help="tell the class of a numeric sequence: sensors, ECG, UCR/UEA files",
    description="Train a recurrent classifier of numeric sequences of one or more channels, hold out a part, and show "
    "it beside nearest neighbours under dynamic time warping.",
    epilog="""examples:
  ostinato fit sequences JapaneseVowels_TRAIN.ts --test-file JapaneseVowels_TEST.ts --out model
  ostinato fit sequences beats.csv --series-id beat --time second --label kind --out model
  ostinato predict model JapaneseVowels_TEST.ts
  some-sensor | ostinato stream model
""",
    file_help="a .ts file, or a long table (CSV, TSV, Parquet, JSON lines): one row a step",
    options=(
        Option("data", "series_id", str, "column that says which sequence a row belongs to (id)"),
        Option("data", "label", str, "column of the class (label)"),
        Option("data", "time", str, "column of the times (none: rows are in order and equally spaced)"),
        Option("data", "channels", columns, "columns of values, joined by commas (all other numeric ones)"),
        Option(
            "data",
            "missing",
            texts,
            "cells that mean a missing value beside NA, NaN, null, ..., joined by commas; may be given again",
        ),
        *_SHARES,
        *_MODEL,
        Option("model", "convolutions", sizes, "channels after each convolution before the stack, as 32,32 (none)"),
        Option("model", "width", int, "steps that a convolution sees (5)"),
        Option("model", "stride", int, "steps from one output of a convolution to the next (1)"),
        Option("model", "value_dropout", float, "of single values, which become missing (0)"),
        Option("data", "dtw_window", float, "how far the DTW baseline may stray, a share of the length (1)"),
        *_LOSS,
        *TRAINING,
        *AVERAGING,
    ),
    tables=True,
    hint="ostinato predict {out} FILE",
)
