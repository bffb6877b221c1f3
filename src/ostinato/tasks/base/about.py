"""What a task says of itself: to the command line, to reports, to a model's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ostinato.options import data
from ostinato.training.config import TrainingOptions


@dataclass(frozen=True)
class Extra:
    """An option of a verb that is of this task alone, such as the stride of a forecaster's evaluation.

    Args:
        name: of the argument that the estimator's method takes.
        kind: `str`, `int`, `float`, or `bool` for one that is switched on.
        help: one line.
        bare: what it is where it is given without a value; `None`: it needs one.
        file: whether it is a path.
    """

    name: str
    kind: type
    help: str
    bare: Any = None
    file: bool = False


@dataclass(frozen=True)
class Demonstration:
    """What `ostinato demo NAME` runs of a task.

    Args:
        name: as it is typed; about: one line.
        run: `"module:function"`; the function takes the folder to write to, and prints what it does.
    """

    name: str
    about: str
    run: str


@dataclass(frozen=True)
class About:
    """A task in words.

    Args:
        name: as it is typed after `fit`; kind: as a model's folder has it.
        help: one line; description: of its own `--help`; examples: lines of its epilog.
        files: what the data files are.
        count: how many files the data may be in; several are handed to `fit` as a tuple.
        many: whether `predict` takes several files, which are answered one after the other.
        tables: whether the files are tables, with options of how they are read.
        answers: how the command line prints answers: `"lines"`, or `"table"` for the rows of a table.
        hint: what to do next, with `{out}` for the model's folder.
        extras: by verb (`predict`, `evaluate`, `stream`), options that no other task has.
        search: what `tune` searches where nothing is said, as `--search` has it; empty: what all tasks have.
        demos: what `ostinato demo` can show of it.
        shares: the name of another task, which means this one where the source is one that this one takes.
        takes: `"module:function"`, which tells of a path whether it is such a source, without reading it.
    """

    name: str
    kind: str
    help: str
    description: str = ""
    examples: str = ""
    files: str = "the data"
    count: int = 1
    many: bool = False
    tables: bool = False
    answers: Literal["lines", "table"] = "lines"
    hint: str = "ostinato report {out} shows the model"
    extras: Mapping[str, tuple[Extra, ...]] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    demos: tuple[Demonstration, ...] = ()
    shares: str = ""
    takes: str = ""

    def extra(self, verb: str) -> tuple[Extra, ...]:
        """Return the options of a verb that are this task's own."""
        return self.extras.get(verb, ())


@dataclass(kw_only=True, eq=False, repr=False)
class Parameters(TrainingOptions):
    """The parameters that all tasks have; a task adds its own, and may have other defaults."""

    about: ClassVar[About]
    unsized: ClassVar[frozenset[str]] = frozenset()
    """Parameters of the model that are whole numbers, but that no weight has the size of."""
    cells_beside: ClassVar[frozenset[str]] = frozenset()
    """Cells that the task can use beside those that read any vector: of time gaps, of missing values."""

    validation: float = data(
        0.1, "share of the data that decides when to stop, unless a file for it is given", low=0, below=1
    )
    test: float = data(
        0.1, "share of the data that is held out for the scores, unless a file for it is given", low=0, below=1
    )


@dataclass(kw_only=True, eq=False, repr=False)
class Tables(Parameters):
    """The parameters of tasks that read tables; they are kept in the model and hold for all later files."""

    missing: str | Sequence[str] = data((), "cells that mean a missing value, besides NA, NaN, null and the like")
    decimal: Literal[".", ","] | None = data(None, "decimal mark, where the cells do not show it", absent="detected")

    @property
    def all_missing(self) -> tuple[str, ...]:
        """The cells that mean a missing value beside those that always do."""
        return (self.missing,) if isinstance(self.missing, str) else tuple(self.missing)


@dataclass(kw_only=True, eq=False, repr=False)
class TimedTables(Tables):
    """The parameters of tasks that read tables with times; see `ostinato.data.Schema`."""

    day_first: bool | None = data(None, "01/02/2024 is 1 February, or is not", absent="detected")
    time_format: str | None = data(
        None,
        'how times are written, as strptime has it: "%d.%m.%y %H:%M"; or "unix": since 1970, "excel": days of a '
        "spreadsheet, since 1899",
        absent="detected",
    )
    time_zone: str | None = data(
        None, "time zone of the times: Europe/Berlin, UTC, +01:00", absent="that of the times, if any"
    )
