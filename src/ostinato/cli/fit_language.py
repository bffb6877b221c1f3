"""`ostinato fit language FILE --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ostinato.cli.options import Option, chosen, count, limit
from ostinato.cli.saving import fit_into

_EPILOG = """examples:
  ostinato fit language shakespeare.txt --out model
  ostinato fit language train.txt --level word --validation-file valid.txt --test-file test.txt --out model
  ostinato generate model --prompt "ROMEO:"
"""
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
    Option("model", "dropout", float, "of layers' outputs, one mask for each piece (0)"),
    Option("model", "input_dropout", float, "of embeddings (0)"),
    Option("model", "embedding_dropout", float, "of whole words (0)"),
    Option("model", "weight_drop", float, "of recurrent weights (0)"),
    Option("training", "activation_penalty", float, "on the size of outputs (0)"),
    Option("training", "slowness_penalty", float, "on their change from step to step (0)"),
    Option("training", "steps", int, "of a piece of text (64)"),
    Option("training", "batch_size", int, "rows (32)"),
    Option("training", "epochs", int, "passes, at most (20)"),
    Option("training", "optimizer", str, "(adamw)", ("sgd", "adam", "adamw")),
    Option("training", "learning_rate", float, "(0.002)"),
    Option(
        "training", "schedule", str, "of the learning rate (one_cycle)",
        ("constant", "cosine", "one_cycle", "exponential", "step", "plateau"),
    ),
    Option("training", "weight_decay", float, "(0)"),
    Option("training", "gradient_clip", limit, 'greatest gradient norm, or "none" (1)'),
    Option("training", "patience", count, 'epochs without a better validation loss before it stops, or "none" (3)'),
    Option("training", "max_seconds", float, "time limit of the training"),
    Option("training", "seed", int, "of all random numbers (0)"),
    Option("training", "device", str, "cpu, cuda, mps or auto (cpu)"),
)  # fmt: skip
_FLAGS = {
    "lower": ("data", "make texts lower-case"),
    "tie_weights": ("model", "use the embedding as the matrix of the scores"),
    "jitter": ("training", "draw the length of each piece around --steps"),
}


def add_task(tasks: Any) -> None:
    """Add the task to the verb `fit`."""
    task = tasks.add_parser(
        "language",
        help="foretell the next character, word or subword of a text",
        description="Train a recurrent language model on a text, hold out its end, and show it beside n-gram models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task.add_argument("file", metavar="FILE", help="a text, also .gz")
    task.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the model and its history")
    task.add_argument("--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one")
    task.add_argument("--no-progress", action="store_true", help="show no progress bar")
    groups = {name: task.add_argument_group(name) for name in ("data", "model", "training")}
    groups["data"].add_argument("--validation-file", metavar="FILE", help="a text of its own for that")
    groups["data"].add_argument("--test-file", metavar="FILE", help="a text of its own for that")
    for option in OPTIONS:
        groups[option.group].add_argument(
            option.flag, type=option.type, choices=option.choices, default=None, help=option.help,
            metavar=None if option.choices else option.name.split("_")[-1].upper(),
        )  # fmt: skip
    for name, (group, text) in _FLAGS.items():
        groups[group].add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
    task.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, save, print."""
    from ostinato.tasks.language import LanguageModel

    arguments.interrupted = "; the checkpoint is kept: the same command with --resume goes on from it"
    given = chosen(arguments, OPTIONS, flags={}) | {name: True for name in _FLAGS if getattr(arguments, name)}
    model = LanguageModel(progress=False if arguments.no_progress else "auto", **given)
    out = arguments.out

    def fit() -> None:
        model.fit(
            arguments.file,
            validation=arguments.validation_file,
            test=arguments.test_file,
            directory=out,
            resume=arguments.resume,
        )

    failure = fit_into(out, fit, model.save)
    if model.scores_ is not None:
        print(model.scores_)
    print(f"written to {out}; ostinato generate {out} lets it write")
    if failure is not None:
        raise failure
    return 0
