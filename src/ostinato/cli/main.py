"""The parser and the one place where errors become exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from ostinato import __version__
from ostinato.cli import (
    compare,
    compose,
    demo,
    diagnose,
    evaluate,
    fit,
    generate,
    predict,
    report,
    stream,
    tune,
    update,
)
from ostinato.cli.by_source import by_source
from ostinato.cli.interrupting import EXIT_CODE, interruptible
from ostinato.cli.notes import notes_on_stderr
from ostinato.cli.parsing import Parser, cores
from ostinato.cli.reading import with_reading
from ostinato.cli.threads import use_cores
from ostinato.errors import NotEnoughMemory, OstinatoError
from ostinato.files import reason

_EPILOG = """examples:
  ostinato demo                                                     see it work on a real series, in under a minute
  ostinato fit forecast load.csv --target load --horizon 24 --out model
  ostinato predict model                                            the next 24 rows
  tail -f rows.jsonl | ostinato stream model                        a forecast after each row
  ostinato update model newer.csv                                   learn from new rows
  ostinato fit language book.txt --out model                        then: ostinato generate model
  ostinato fit speech clips.csv --audio path --text words --out model
  ostinato fit music tunes/ --out model                             then: ostinato compose model --out new.mid
  ostinato fit anomaly sensor.csv --target load --out model         then: some-sensor | ostinato stream model
  ostinato fit anomaly camera.mp4 --out model                       the same of video

exit codes: 0 done, 2 wrong usage, 3 wrong data, 4 training broke off, 5 unreadable model, 6 cannot write,
7 an extra is not installed, 130 interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = Parser(
        prog="ostinato",
        description="Recurrent sequence models, from a raw file to a live stream.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ostinato {__version__}")
    parser.add_argument("--threads", type=cores, metavar="N", help="cores to use at most (those that are free now)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in (fit, predict, evaluate, stream, generate, compose, update, report, diagnose, compare, tune, demo):
        verb.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = argparse.Namespace()
    try:
        with interruptible():
            given = list(sys.argv[1:] if argv is None else argv)
            arguments.debug = "--debug" in given[:1]
            arguments = with_reading(make_parser().parse_args(by_source(given), arguments))
            use_cores(arguments.threads)
            with notes_on_stderr():
                code: int = arguments.run(arguments)
            sys.stdout.flush()
            return code
    except OstinatoError as error:
        if arguments.debug:
            raise
        return _say(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        hint = getattr(arguments, "interrupted", "")
        return _say(f"interrupted{hint() if callable(hint) else hint}", EXIT_CODE)
    except BrokenPipeError:
        # whoever read our output has gone; nothing more can be said to them
        _close_stdout()
        return 0
    except OSError as error:
        if arguments.debug:
            raise
        _close_stdout()
        where = f"{error.filename}: " if error.filename else "the output cannot be written: "
        return _say(f"error: {where}{reason(error)}", 6)
    except Exception as error:  # the last resort: a fault of ours is said in a sentence too
        if arguments.debug:
            raise
        from ostinato.training.memory import is_memory_error, memory_sentence

        if is_memory_error(error):
            return _say(f"error: {memory_sentence(error)}", NotEnoughMemory.exit_code)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"error: a fault in ostinato itself ({said}); ostinato --debug VERB ... shows where", 1)


def _say(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"ostinato: {sentence}", file=sys.stderr, flush=True)
    return code


def _close_stdout() -> None:
    """Send what is left in the buffer nowhere, so that the interpreter does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
