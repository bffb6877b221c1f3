"""What a diagnosis found: verdicts with their figures and treatments, what was measured, and what there is to see."""

from __future__ import annotations

import importlib
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ostinato.errors import OutputError
from ostinato.files import write_atomically
from ostinato.tasks.base.summary import Panel

Kind: TypeAlias = Literal[
    "vanishing", "exploding", "truncation", "saturated", "dead", "copies", "stuck", "growing", "padding", "overfitting",
    "coverage", "learning rate too high", "learning rate too low", "baseline", "leak", "no gradient", "frozen",
    "random", "rows meet", "outputs", "sign",
]  # fmt: skip
"""What can be wrong."""


@dataclass(frozen=True)
class Verdict:
    """One fault, with its figure and what to do.

    Args:
        kind: which fault it is.
        title: it in one short sentence, with its figure.
        text: how it was found, and what it means.
        advice: what to do, each by the true name of an option.
        value: the figure as a number: steps, a share, a factor.
        where: the recurrent layer that has it; empty: the model as a whole.
    """

    kind: Kind
    title: str
    text: str
    advice: tuple[str, ...] = ()
    value: float = math.nan
    where: str = ""


@dataclass(frozen=True)
class Fact:
    """What was measured, be it good or bad: a name, a figure in words, and what it says."""

    name: str
    figure: str
    text: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Why a model learns or does not.

    Args:
        title: of what it is.
        verdicts: the faults, the gravest first; none in a healthy model.
        facts: what was measured.
        panels: pictures, as reports have them.
        numbers: all figures, by the name of what was measured, as plain data.
        skipped: what was not measured, and why.
        seconds: how long it took.

    >>> Diagnosis("a model").verdicts
    ()
    """

    title: str
    verdicts: tuple[Verdict, ...] = ()
    facts: tuple[Fact, ...] = ()
    panels: tuple[Panel, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of faults that were found, each once."""
        return tuple(dict.fromkeys(verdict.kind for verdict in self.verdicts))

    @property
    def headline(self) -> str:
        """One sentence for a reader in a hurry."""
        if not self.verdicts:
            return "No fault was found."
        count = len(self.verdicts)
        return (
            f"{count} fault{'s' if count > 1 else ''}: {'; '.join(each.title.rstrip('.') for each in self.verdicts)}."
        )

    def text(self, width: int = 100) -> str:
        """Return it for a console: verdicts, then what was measured."""
        lines = [f"Diagnosis of {self.title}", *_wrapped(self.headline, width), ""]
        for number, verdict in enumerate(self.verdicts, 1):
            place = f" [{verdict.where}]" if verdict.where else ""
            lines += _wrapped(f"{verdict.title}{place}", width, f"{number}. ")
            lines += _wrapped(verdict.text, width, "   ")
            for advice in verdict.advice:
                lines += _wrapped(advice, width, "   - ")
            lines.append("")
        name = max((len(fact.name) for fact in self.facts), default=0)
        for fact in self.facts:
            lines += _wrapped(fact.figure, width, f"{fact.name.ljust(name)}  ")
        lines += [line for sentence in self.skipped for line in _wrapped(f"Not measured: {sentence}", width)]
        return "\n".join(lines).rstrip() + "\n"

    def plain(self) -> dict[str, Any]:
        """Return verdicts, facts and numbers as plain data."""
        body = {
            "title": self.title,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "facts": [asdict(fact) for fact in self.facts],
            "numbers": self.numbers,
            "skipped": self.skipped,
            "seconds": self.seconds,
        }
        found: dict[str, Any] = _plain(body)
        return found

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the numbers as JSON, and write them if a path is given.

        Raises:
            OutputError: the file cannot be written.
        """
        text = json.dumps(self.plain(), indent=1, allow_nan=False, ensure_ascii=False)
        if path is not None:
            write_atomically(Path(path), text.encode(errors="replace"))
        return text

    def to_html(self, path: str | Path) -> Path:
        """Write it as one page that needs no network, and its numbers as JSON beside it; return the page's path.

        Raises:
            MissingExtra: matplotlib or jinja2 is not installed.
            OutputError: a file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() == ".json":
            raise OutputError(f"{path} is where the numbers go; give the page a name that ends in .html")
        written: Path = _report().write_diagnosis(self, path)
        self.to_json(path.with_suffix(".json"))
        return written

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        shown: str = _report().diagnosis_fragment(self)
        return shown

    def __str__(self) -> str:
        return self.text()


def _report() -> Any:
    # the room of pages lies above this one: it is named here, and nowhere else
    return importlib.import_module("ostinato.report.diagnosis")


def _wrapped(text: str, width: int, first: str = "") -> list[str]:
    if not text:
        return []
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it: numbers that are none, or infinite, as `null`."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
