"""Raw logs: lines of text to templates, by what changes in them from line to line, and lines to sequences.

What stands for something else each time (numbers, addresses, times, paths' digits) is masked first; of the rest `Drain`
finds templates: lines of as many words, most of them the same. A new line has the template whose words it has; one with
none is an event that never came. Lines are put in sequences by what names these (a block, a request, a session), or
by their order.

Source: P. He, J. Zhu, Z. Zheng and M. Lyu, "Drain: an online log parsing approach with fixed depth tree", ICWS 2017,
by the package `drain3`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.events import EventLog, EventReading
from ostinato.data.notes import note
from ostinato.errors import DataError, MissingExtra, UsageError
from ostinato.words import counted

SUFFIXES = (".log", ".log.gz")
ANYTHING = "<*>"
WORDS = 200  # of a line, at most; the rest is left out
_SIMILAR = 0.6  # of the words of a template: more than Drain's 0.4, as what changes is masked before
_DEPTH, _CHILDREN, _MOST = 4, 100, 4096
_MASKS = re.compile(
    r"""(?ix)
    \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b        # a UUID
    | \b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b                # the address of a network card
    | (?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?![\w.])  # an address
    | \b(?:mon|tue|wed|thu|fri|sat|sun)\b(?=[ ,]) | \b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b(?=[ ]+\d)
    | \b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?
    | \b\d{8}T\d{6}Z?\b
    | \b0x[0-9a-f]+\b | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}\b
    | (?<![a-z\d])(?:\d+(?:\.\d+)?(?:ns|[uµμm]s|[dhms])){2,}\b  # 1h20m3.5s
    # a number, a time, a count; its unit is left, and a hyphen behind a word is no sign
    | (?:(?<![a-z\d])[+-])?(?<![a-z\d])\d+(?:[.,:]\d+)*(?:e[+-]?\d+)?(?=\b|_|[a-zµμ°]{1,4}\b)
    | (?<![a-z\d])(?P<name>[a-z]{2,})\d+(?=\b|_)           # host12; of one letter, as E1042, it says what happened
    | (?<=\bv)\d+(?:\.\d+)+                              # v1.2.3
    """
)
_AGAIN = re.compile(rf"(?:{re.escape(ANYTHING)}[.,:/_-]?)+{re.escape(ANYTHING)}")


def is_raw_log(source: Any) -> bool:
    """Tell whether a source is the path of a raw log, by its name."""
    return isinstance(source, (str, Path)) and str(source).lower().endswith(SUFFIXES)


@lru_cache(maxsize=1 << 16)
def masked(line: str) -> tuple[str, ...]:
    """Return the words of a line, with what changes each time as `<*>`.

    >>> " ".join(masked("2024-05-01 10:00:03,120 INFO job 17 of host-4 at 10.0.0.7:80 took 3.5s"))
    '<*> INFO job <*> of host-<*> at <*> took <*>s'
    """
    return tuple(_AGAIN.sub(ANYTHING, _MASKS.sub(_instead, line)).split()[:WORDS])


def _instead(found: re.Match[str]) -> str:
    return (found["name"] or "") + ANYTHING


@dataclass(frozen=True)
class LogReading(EventReading):
    """How a raw log was read, and later ones are.

    Args:
        templates: what lines are, words between single spaces.
        pattern: a regular expression of what names the sequence of a line; empty: runs of lines are sequences.
        run: lines of such a run.
    """

    templates: tuple[str, ...] = ()
    pattern: str = ""
    run: int = 50

    @cached_property
    def _by_length(self) -> dict[int, list[tuple[str, tuple[str, ...]]]]:
        found: dict[int, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
        for template in self.templates:
            words = tuple(template.split())
            found[len(words)].append((template, words))
        for own in found.values():  # one with more words of its own first
            own.sort(key=lambda one: sum(word == ANYTHING for word in one[1]))
        return found

    @cached_property
    def _named(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    @cached_property
    def _known(self) -> dict[tuple[str, ...], str]:
        return {}

    def template_of(self, line: str) -> str:
        """Return the template of a line, or its masked words where it has none."""
        words = masked(line)
        found = self._known.get(words)
        if found is None:
            found = next((template for template, own in self._by_length.get(len(words), ()) if _fits(own, words)), None)
            found = " ".join(words) if found is None else found
            if len(self._known) < _MOST:
                self._known[words] = found
        return found

    def case_of(self, line: str, number: int) -> str:
        """Return the sequence of a line, the first name in it; empty if it has none.

        Args:
            line: of the log.
            number: of the line, from 0 on.
        """
        if not self.pattern:
            return f"line {number - number % self.run + 1}"
        found = self._named.search(line)
        return "" if found is None else found.group(1 if found.re.groups else 0)


@dataclass(frozen=True)
class RawLog(EventLog):
    """An event log of lines.

    Args:
        read: how the lines were read.
    """

    read: LogReading = field(default_factory=LogReading)

    @property
    def reading(self) -> EventReading:
        """How the log was read."""
        return self.read

    def take(self, rows: NDArray[np.int64]) -> RawLog:
        """Return some of the sequences; see `EventLog.take`."""
        return self._of(super().take(rows))

    def joined(self, other: EventLog) -> RawLog:
        """Return these sequences and those of another log behind them."""
        return self._of(super().joined(other))

    def _of(self, log: EventLog) -> RawLog:
        return RawLog(**{own.name: getattr(log, own.name) for own in fields(EventLog)}, read=self.read)


def read_raw_log(source: Any, *, pattern: str | None, run: int, reading: LogReading | None = None) -> RawLog:
    """Read a raw log, a file or lines, as sequences of templates.

    Args:
        source: a path, also of a gzip file, or lines.
        pattern: a regular expression of what names the sequence of a line; `None`: runs of lines are sequences.
        run: lines of such a run.
        reading: how an earlier log was read; `None`: templates are found in this one.

    Raises:
        DataError: it cannot be read, it has no lines, or the pattern is in none.
        UsageError: the pattern is none.
        MissingExtra: templates have to be found, and `drain3` is not installed.
    """
    origin = Path(source).name if isinstance(source, (str, Path)) else "the log"
    lines = list(_lines(source))
    if not lines:
        raise DataError(f"{origin} has no lines; expected those of a log")
    if reading is None:
        reading = LogReading(pattern=checked(pattern), run=run)
        named = [line for place, line in enumerate(lines) if reading.case_of(line, place)]
        reading = LogReading(templates=templates_of(named), pattern=reading.pattern, run=run)
    return sequences(lines, reading, origin)


def sequences(lines: Sequence[str], reading: LogReading, origin: str) -> RawLog:
    """Return lines as sequences of templates.

    Raises:
        DataError: no line names a sequence.
    """
    cases: dict[str, list[str]] = {}
    first: list[int] = []
    lost = 0
    for place, line in enumerate(lines):
        case = reading.case_of(line, place)
        if not case:
            lost += 1
            continue
        if case not in cases:
            cases[case] = []
            first.append(place)
        cases[case].append(reading.template_of(line))
    if not cases:
        raise DataError(
            f'no line of {origin} has what names a sequence, "{reading.pattern}"; mend the pattern (--id), or leave it '
            "out to take lines in runs"
        )
    if lost:
        note(f'{origin}: {lost:,} of {counted(len(lines), "lines")} without "{reading.pattern}" left out')
    activities = tuple(map(tuple, cases.values()))
    gaps = tuple(np.full(len(own), np.nan) for own in activities)
    return RawLog(origin, tuple(cases), activities, gaps, np.array(first, np.int64), read=reading)


def templates_of(lines: Iterable[str]) -> tuple[str, ...]:
    """Find the templates of lines.

    Raises:
        MissingExtra: `drain3` is not installed.
    """
    try:
        from drain3.drain import Drain
    except ImportError as error:
        raise MissingExtra("templates of raw logs need drain3: pip install 'ostinato[anomaly]'") from error
    drain = Drain(depth=_DEPTH, sim_th=_SIMILAR, max_children=_CHILDREN, max_clusters=_MOST, param_str=ANYTHING)
    for line in lines:
        drain.add_log_message(" ".join(masked(line)))
    return tuple(sorted({cluster.get_template() for cluster in drain.clusters}))


def checked(pattern: str | None) -> str:
    """Return a pattern that can be used, empty for none.

    Raises:
        UsageError: it is no regular expression.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise UsageError(
            f'"{pattern}" is no regular expression ({error}); expected what names a sequence in a line, as blk_-?\\d+'
        ) from error
    return pattern or ""


def _fits(template: Sequence[str], words: Sequence[str]) -> bool:
    return all(own in (ANYTHING, word) for own, word in zip(template, words, strict=True))


def _lines(source: Any) -> Iterator[str]:
    """Yield the lines that are not empty."""
    if not isinstance(source, (str, Path)):
        for line in source:
            if not isinstance(line, str):
                raise DataError(f"a line of the log is {type(line).__name__}; expected text")
            if line.strip():
                yield line.strip()
        return
    import gzip

    path = Path(source)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file):
                if not number and b"\0" in raw:
                    raise DataError(f"{path.name} is no text; expected the lines of a log")
                line = raw.decode("utf-8", errors="replace").strip()
                if line:
                    yield line
    except (OSError, EOFError) as error:
        raise DataError(f"{source} cannot be read ({error}); expected the lines of a log") from error
