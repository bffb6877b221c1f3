"""`ostinato generate DIR`: what a language model writes, token by token."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ostinato.cli.opened import add_model, open_model
from ostinato.words import with_article

_EPILOG = """examples:
  ostinato generate model --prompt "ROMEO:" --length 500 --temperature 0.8
  ostinato generate model --prompt "the price of" --top-k 20 --seed 3 --stop "\\n"
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "generate",
        help="generate text with a language model",
        description="Generate text after a prompt, token by token as it is drawn.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("--prompt", default="", metavar="TEXT", help="text to continue (none: the beginning of a line)")
    parser.add_argument("--length", type=int, default=200, metavar="N", help="tokens to generate (200)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="divides the logits: below 1 more likely tokens, above 1 more varied ones, 0 always the most likely (1)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K most likely tokens only")
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="draw from the most likely tokens that together have the probability P (1)",
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="X",
        help="above 1, tokens that came before become less likely (1)",
    )
    parser.add_argument("--stop", action="append", metavar="TEXT", help="end before this text; may be given again")
    parser.add_argument("--cache", action="store_true", help="mix in a cache of recent tokens (a neural cache)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random numbers; the same seed gives the same text (0)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load and write."""
    from ostinato.errors import UsageError

    if arguments.length < 0:
        raise UsageError(f"--length is {arguments.length}; expected 0 or more tokens")
    model = open_model(arguments)
    if not hasattr(model, "write"):
        raise UsageError(
            f"{arguments.model} holds {with_article(model.about.kind)}, which does not generate text; "
            "ostinato predict uses it"
        )
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "cache", "seed")
    pieces = model.write(
        arguments.prompt, length=arguments.length, stop=[mark.replace("\\n", "\n") for mark in arguments.stop or ()],
        **{name: getattr(arguments, name) for name in names},
    )  # fmt: skip
    sys.stdout.write(arguments.prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
