"""`ostinato fit tagging FILE --out DIR`."""

from __future__ import annotations

from ostinato.cli.options import Option
from ostinato.cli.recipe import TRAINING, Recipe


def _column(text: str) -> int | str:
    """Return the number of a column, or the name of one of CoNLL-U."""
    return int(text) if text.lstrip("-").isdecimal() else text


RECIPE = Recipe(
    name="tagging",
    estimator="ostinato.tasks.tag:SequenceTagger",
    help="tag each token of a sentence: parts of speech, names",
    description="Train a recurrent tagger on tagged sentences, hold some out, and show it beside a hidden Markov model "
    "and the most frequent tag of each word.",
    epilog="""examples:
  ostinato fit tagging en-ud-train.conllu --validation-file en-ud-dev.conllu --test-file en-ud-test.conllu --out model
  ostinato fit tagging eng.train --output crf --vectors glove.6B.100d.txt --lower --out model
  echo "The dog barks" | ostinato predict model
""",
    file_help="tagged sentences: CoNLL-U (.conllu), or a token and its tag a line; also .gz",
    options=(
        Option("data", "token", int, "column of the token, from 0 (0)"),
        Option("data", "tag", _column, "column of the tag, or its name in CoNLL-U (the last; upos)"),
        Option("data", "min_count", int, "how often a word must occur to be known (1)"),
        Option("data", "validation", float, "share of the last sentences that decides when to stop (0.1)"),
        Option("data", "test", float, "share of the last sentences that is held out (0.1)"),
        Option("model", "vectors", str, "file of pretrained vectors: word2vec, GloVe or fastText, as text"),
        Option("model", "vector_words", int, "of its first words, how many are known beside those of FILE (20000)"),
        Option("model", "embedding_size", int, "features of a word (64)"),
        Option("model", "characters", str, "how a word's characters are read (cnn)", ("cnn", "rnn", "none")),
        Option("model", "character_size", int, "features that gives (32)"),
        Option("model", "longest_word", int, "characters of a word that are read at most (32)"),
        Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (lstm)"),
        Option("model", "hidden_size", int, "units of each direction (96)"),
        Option("model", "num_layers", int, "layers (1)"),
        Option("model", "output", str, "what judges the tags (softmax)", ("softmax", "crf")),
        Option(
            "model", "class_weights", str, "of tags, for the softmax (none)",
            ("none", "balanced", "square_root", "effective"),
        ),
        Option("model", "dropout", float, "of layers' outputs (0.3)"),
        Option("model", "input_dropout", float, "of what the stack reads (0.2)"),
        Option("model", "word_dropout", float, "share of words taken for unknown ones (0.05)"),
        *TRAINING,
    ),
    flags={
        "lower": ("data", "make words lower-case, but not their characters"),
        "freeze_vectors": ("model", "keep pretrained vectors as they are"),
    },
    hint="ostinato predict {out} tags lines of stdin; ostinato report {out} shows the model",
)  # fmt: skip
