"""`ostinato fit translation SOURCES TARGETS --out DIR`."""

from __future__ import annotations

from ostinato.cli.options import Option, columns
from ostinato.cli.recipe import TRAINING, Recipe

_EPILOG = """examples:
  ostinato fit translation train.de.gz train.en.gz --validation-file val.de val.en --out model
  ostinato fit translation pairs.tsv --level word --cell lstm --attention additive --out model
  echo "Ein Hund schläft." | ostinato predict model
  ostinato predict model source.txt --json
  ostinato evaluate model test.de test.en
"""

RECIPE = Recipe(
    name="translation",
    estimator="ostinato.tasks.translate:Translator",
    help="translate, or rewrite, one sentence after the other",
    description="Train a recurrent encoder and decoder with attention on pairs of texts, hold some out, and show it "
    "beside a word-for-word dictionary.",
    epilog=_EPILOG,
    file_help="sources and their translations, one a line, in two files; or pairs in one TSV, CSV or JSON-lines file; "
    "also .gz",
    options=(
        Option("data", "level", str, "what a token is (subword)", ("subword", "word", "character")),
        Option("data", "subwords", str, "how subwords are learned (bpe)", ("bpe", "unigram")),
        Option("data", "split", str, "how words are parted (words)", ("words", "whitespace")),
        Option("data", "columns", columns, "names of source and target in a file of pairs, joined by a comma"),
        Option("data", "vocabulary_size", int, "tokens of a side at most (all; 8000 subwords)"),
        Option("data", "min_count", int, "how often a word or character must occur to be known (1)"),
        Option("data", "max_length", int, "tokens of a side; longer pairs are left out (250; 1000 characters)"),
        Option("data", "long_pairs", str, "or cut (leave_out)", ("leave_out", "cut")),
        Option("data", "validation", float, "share of the pairs that decide when to stop (0.05)"),
        Option("data", "test", float, "share of the pairs that are held out (0.05)"),
        Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (gru)"),
        Option("model", "attention", str, "(general)", ("additive", "dot", "general", "multihead", "none")),
        Option("model", "reading", str, "the source, after or before a step (after)", ("after", "before")),
        Option("model", "embedding_size", int, "features of a token (as hidden-size)"),
        Option("model", "hidden_size", int, "units (256)"),
        Option("model", "num_layers", int, "layers of encoder and decoder (1)"),
        Option("model", "dropout", float, "(0.3)"),
        Option("model", "beam_size", int, "hypotheses followed side by side (5)"),
        Option("model", "length_penalty", float, "towards 1, longer translations are preferred (0.6)"),
        Option("model", "coverage_penalty", float, "on source tokens that were not looked at (0)"),
        Option("training", "batch_tokens", int, "tokens of a side in a batch (1024)"),
        Option("training", "label_smoothing", float, "(0.1)"),
        Option("training", "teacher_forcing", float, "share of given tokens in the last epoch (1)"),
        Option("training", "averaging", str, "of weights (none)", ("polyak", "triggered", "ema")),
        Option("training", "averaging_decay", float, "of ema, a step (0.999)"),
        *(option for option in TRAINING if option.name != "batch_size"),
    ),
    flags={
        "lower": ("data", "make texts lower-case"),
        "shared_vocabulary": ("data", "one vocabulary for both sides"),
        "input_feeding": ("model", "a step also reads what the step before gave out"),
    },
    files=2,
    hint="ostinato predict {out} FILE translates; ostinato report {out} shows it",
)
