"""`ostinato compose DIR --out piece.mid`: what a composer writes, as a file that plays."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from ostinato.cli.opened import add_model, open_model
from ostinato.cli.parsing import file, path
from ostinato.words import with_article

_EPILOG = """examples:
  ostinato compose model --bars 16 --out piece.mid
  ostinato compose model --prime opening.mid --bars 32 --temperature 0.9 --out continued.mid
  ostinato compose model --harmonize melody.mid --count 4 --out harmony.mid      harmony-1.mid to harmony-4.mid
  ostinato compose model --harmonize tune.abc --voice bass --out over-a-bass.mid

Live, step by step: ostinato stream model
"""
_ENDINGS = (".mid", ".midi", ".abc")


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "compose",
        help="compose music with a fitted model",
        description="Write music: from nothing, after an opening, or around a given voice, which is kept note for "
        "note; as a MIDI file, or, of a melody, in ABC notation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="piece.mid, or piece.abc of a melody")
    parser.add_argument("--prime", type=file, metavar="FILE", help="an opening to continue")
    parser.add_argument("--harmonize", type=file, metavar="FILE", help="a voice to keep, to which others are written")
    parser.add_argument(
        "--voice", choices=("melody", "bass", "any"), default="melody", help="which voice the given one is (melody)"
    )
    parser.add_argument("--bars", type=float, metavar="N", help="length in bars (that of the given voice, else 16)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length in seconds")
    parser.add_argument("--count", type=int, metavar="N", help="number of pieces, each in a file of its own")
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="below 1 more likely notes, above 1 more varied ones, 0 always the most likely (1)",
    )
    parser.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        metavar="P",
        help="draw from the most likely notes that together have the probability P (1)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random numbers; the same seed gives the same piece (0)"
    )
    parser.add_argument(
        "--drafts",
        type=int,
        default=64,
        metavar="N",
        help="drafts around a given voice, of which the most likely is kept (64)",
    )
    parser.add_argument("--key", metavar="KEY", help="key of the piece: G, Bb, F#m (the most frequent one in training)")
    parser.add_argument("--metre", metavar="A/B", help="time signature: 3/4 (that of the given piece)")
    parser.add_argument("--tempo", type=float, metavar="Q", help="quarter notes a minute (that of the given piece)")
    parser.add_argument("--strike", type=float, metavar="Q", help="strike held notes again after Q quarters (never)")
    parser.add_argument("--program", type=int, default=0, metavar="N", help="MIDI instrument, 0 to 127 (0, a piano)")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each piece")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, write, save."""
    from ostinato.cli.show import as_line
    from ostinato.errors import DataWarning, UsageError

    if arguments.out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"--out is {arguments.out}; expected a name that ends in .mid, or in .abc for a melody")
    if arguments.count is not None and arguments.count < 1:
        raise UsageError(f"--count is {arguments.count}; expected one or more")
    if not 0 <= arguments.program <= 127:
        raise UsageError(f"--program is {arguments.program}; expected a MIDI instrument from 0 to 127")
    model = open_model(arguments)
    if not hasattr(model, "compose"):
        raise UsageError(
            f"{arguments.model} holds {with_article(model.about.kind)}, which does not compose music; ostinato predict "
            "uses it"
        )
    names = ("prime", "harmonize", "voice", "bars", "seconds", "temperature", "top_p", "seed", "drafts", "key", "metre",
             "tempo", "strike")  # fmt: skip
    pieces = model.compose(count=arguments.count or 1, **{name: getattr(arguments, name) for name in names})
    for number, piece in enumerate(pieces, 1):
        out = arguments.out if arguments.count is None else _numbered(arguments.out, number)
        piece.save(out, program=arguments.program)
        print(
            as_line({"file": str(out), **piece.plain()}, json=True) if arguments.json else f"written to {out}: {piece}"
        )
        if still := piece.holds_still:
            warnings.warn(f"{out}: {still}; try another --seed or a higher --temperature", DataWarning, stacklevel=1)
    return 0


def _numbered(out: Path, number: int) -> Path:
    return out.with_name(f"{out.stem}-{number}{out.suffix}")
