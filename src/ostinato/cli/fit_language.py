"""`ostinato fit language FILE --out DIR`."""

from __future__ import annotations

from ostinato.cli.options import OPTIMISATION, Option, count, limit
from ostinato.cli.recipe import AVERAGING, Recipe

_EPILOG = """examples:
  ostinato fit language shakespeare.txt --out model
  ostinato fit language train.txt --level word --validation-file valid.txt --test-file test.txt --out model
  ostinato generate model --prompt "ROMEO:"
"""
OUTPUTS = ("softmax", "sampled", "adaptive")
OPTIONS = (
    Option("data", "level", str, "what a token is (character)", ("character", "word", "subword")),
    Option("data", "vocabulary_size", int, "tokens at most (all; 8000 subwords)"),
    Option("data", "min_count", int, "how often a token must occur to be known (1)"),
    Option("data", "validation", float, "share of the end that decides when to stop (0.05)"),
    Option("data", "test", float, "share of the end that is held out (0.05)"),
    Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (lstm)"),
    Option("model", "embedding_size", int, "features of a token (as hidden-size)"),
    Option("model", "hidden_size", int, "units (256)"),
    Option("model", "num_layers", int, "layers (1)"),
    Option("model", "output", str, "over all tokens, or for large vocabularies (softmax)", OUTPUTS),
    Option("model", "samples", int, "of sampled: tokens drawn for a batch (1024)"),
    Option("model", "proposal", str, "of sampled: what they are drawn by (unigram)", ("unigram", "log_uniform")),
    Option("model", "dropout", float, "of layers' outputs, one mask for each piece (0)"),
    Option("model", "input_dropout", float, "of embeddings (0)"),
    Option("model", "embedding_dropout", float, "of whole words (0)"),
    Option("model", "weight_drop", float, "of recurrent weights (0)"),
    Option("training", "activation_penalty", float, "on the size of outputs (0)"),
    Option("training", "slowness_penalty", float, "on their change from step to step (0)"),
    Option("training", "steps", int, "of a piece of text (64)"),
    Option("training", "batch_size", int, "rows (32)"),
    Option("training", "epochs", int, "passes, at most (20)"),
    *OPTIMISATION,
    Option("training", "momentum", float, "of sgd (0)"),
    Option("training", "warmup_steps", int, "steps over which the learning rate first rises (0)"),
    *AVERAGING,
    Option("training", "gradient_clip", limit, 'greatest gradient norm, or "none" (1)'),
    Option("training", "patience", count, 'epochs without a better validation loss before it stops, or "none" (3)'),
    Option("training", "max_seconds", float, "time limit of the training"),
    Option("training", "seed", int, "of all random numbers (0)"),
    Option("training", "device", str, "cpu, cuda, mps or auto (cpu)"),
)
RECIPE = Recipe(
    name="language",
    estimator="ostinato.tasks.language:LanguageModel",
    help="foretell the next character, word or subword of a text",
    description="Train a recurrent language model on a text, hold out its end, and show it beside n-gram models.",
    epilog=_EPILOG,
    file_help="a text, also .gz",
    options=OPTIONS,
    flags={
        "lower": ("data", "make texts lower-case"),
        "tie_weights": ("model", "use the embedding as the matrix of the scores"),
        "jitter": ("training", "draw the length of each piece around --steps"),
    },
    hint="ostinato generate {out} lets it write, ostinato report {out} shows it",
)
