"""What several verbs print: score tables and files written."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from json import dumps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ostinato.errors import DataError
from ostinato.words import counted, number

_FACTS = ("columns", "rows", "times", "frequency", "season")
"""Facts of data that the console shows where a task has them: what was found, and may have been found wrong."""

if TYPE_CHECKING:
    from ostinato.tasks.base.differences import Difference
    from ostinato.tasks.base.judging import Scores
    from ostinato.tasks.base.summary import Better, Summary


def _terminal() -> int | None:
    """Return how many characters a line of the terminal has; `None`: what is printed goes to no terminal."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None


def print_scores(scores: Scores) -> None:
    """Print what an evaluation gave: the table, how it was made, and the verdict."""
    print(_table(scores.values, scores.better, scores.against))
    print(f"* best{_signs(scores.against)}. {scores.protocol}; {counted(scores.count, scores.of)}.")
    print(scores.verdict)
    for name, detail in scores.details.items():
        if isinstance(detail, Mapping) and detail and all(isinstance(row, Mapping) for row in detail.values()):
            print(f"\n{name}\n{_table(detail, {})}")


def _table(
    values: Mapping[str, Mapping[str, float]],
    better: Mapping[str, Better],
    against: Mapping[str, Mapping[str, Difference]] = MappingProxyType({}),
) -> str:
    from ostinato.tasks.base.judging import marks
    from ostinato.tasks.base.score_text import score_text

    return score_text(values, better, marks(against), _terminal())


def _signs(against: Mapping[str, Mapping[str, Difference]]) -> str:
    from ostinato.tasks.base.judging import legend

    said = legend(against)
    return f", {said}" if said else ""


def print_summary(summary: Summary) -> None:
    """Print what the data were taken for, the scores of a fit, how they were made, and the verdict."""
    facts = dict(summary.data)
    for name in _FACTS:
        if name in facts:
            print(f"{name}: {facts[name]}")
    if summary.scores:
        print(_table(summary.scores, summary.better, summary.against))
        print(f"* best{_signs(summary.against)}. {summary.protocol}.")
    print(summary.verdict)


def scores_json(scores: Scores) -> dict[str, Any]:
    """Return scores as `--json` has them after every verb."""
    return {"scores": scores.values, **{name: value for name, value in scores.plain().items() if name != "values"}}


def fit_json(out: object, model: Any) -> dict[str, Any]:
    """Return what a fit of any task prints with `--json`."""
    summary, scores = model.summary_, model.scores_
    judged = {"scores": {}, "verdict": summary.verdict} if scores is None else scores_json(scores)
    trained = {"best_epoch": summary.best_epoch, "epochs": len(summary.history), "stopped": summary.stopped}
    trained["seconds"] = {part: round(seconds, 3) for part, seconds in model.fitted_.seconds.items()}
    return {"model": str(out), "task": summary.task, **judged, **trained}


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(dumps(_plain(value)) + "\n")


def as_line(answer: Mapping[str, Any], *, json: bool) -> str:
    """Return what a model answered in one line: as JSON, or its plain values with tabs between them."""
    if json:
        return dumps(_plain(answer), ensure_ascii=False)
    plain = {name: value for name, value in answer.items() if isinstance(value, (str, int, float))}
    # a label that is a number is a name: never rounded
    rounded = {name: isinstance(value, float) and name != "label" for name, value in plain.items()}
    # programs read these lines: no commas between thousands
    cells = {name: number(float(value)).replace(",", "") for name, value in plain.items() if rounded[name]}
    return "\t".join(cells.get(name, str(value)) for name, value in plain.items())


def stdin_lines() -> Iterator[str]:
    """Yield the lines of stdin without their ends, each as soon as it is there.

    Raises:
        DataError: stdin is not UTF-8.
    """
    # readline, and not iteration over the file, which would read ahead and answer late
    try:
        for line in iter(sys.stdin.readline, ""):
            if not line.isascii():
                line.encode()  # fails for bytes that the locale lets pass though they are not UTF-8
            yield line.rstrip("\r\n")
    except UnicodeError as error:
        odd = error.object[error.start] if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)) else 0
        byte = odd if isinstance(odd, int) else ord(odd) & 0xFF
        raise DataError(
            f"stdin is not UTF-8 text (it has the byte 0x{byte:02x}); convert it: iconv -f LATIN1 -t UTF-8"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
