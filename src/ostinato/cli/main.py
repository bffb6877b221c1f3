"""The parser and the one place where errors become exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ostinato import __version__
from ostinato.cli import compare, demo, evaluate, fit, generate, predict, report, stream, tune
from ostinato.cli.notes import notes_on_stderr
from ostinato.cli.reading import with_reading
from ostinato.errors import OstinatoError

_EPILOG = """examples:
  ostinato demo                                                     see it work on a real series, in under a minute
  ostinato fit forecast load.csv --target load --horizon 24 --out model
  ostinato predict model                                            the next 24 rows
  tail -f rows.jsonl | ostinato stream model                        a forecast after each row
  ostinato fit language book.txt --out model                        then: ostinato generate model

exit codes: 0 done, 2 wrong usage, 3 wrong data, 4 training broke off, 5 unreadable model, 6 cannot write,
7 an extra is not installed, 130 interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="ostinato",
        description="Recurrent sequence models, from a raw file to a live stream.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in (fit, predict, evaluate, stream, generate, report, compare, tune, demo):
        verb.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = with_reading(make_parser().parse_args(argv))
    try:
        with notes_on_stderr():
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except OstinatoError as error:
        if arguments.debug:
            raise
        print(f"ostinato: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        hint = getattr(arguments, "interrupted", "")
        print(f"\nostinato: interrupted{hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; nothing more can be said to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
