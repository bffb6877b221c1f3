"""The options of a forecaster on the command line: one table, from which the parser and the call are made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One option: its group, its name as a parameter, its type, what it is for, and its choices."""

    group: str
    name: str
    type: Any
    help: str
    choices: tuple[str, ...] | None = None

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")


class Kind(Generic[T]):
    """How the text of an option becomes a value, and in words what is expected of it.

    Args:
        expected: for a message, such as `"numbers joined by commas"`.
        read: raises `ValueError` for a text that is not of this kind.
    """

    def __init__(self, expected: str, read: Callable[[str], T]) -> None:
        self.expected, self._read = expected, read

    def __call__(self, text: str) -> T:
        """Return the value."""
        return self._read(text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _texts(text: str) -> tuple[str, ...]:
    """Return texts parted by commas; not by one between digits, nor by one within quotes."""
    found = re.findall(r'\s*"((?:[^"]|"")*)"\s*(?:,|$)|((?:[^,]|(?<=\d),(?=\d))+)(?:,|$)', text)
    return tuple(quoted.replace('""', '"') or bare.strip() for quoted, bare in found if quoted or bare.strip())


texts = Kind("texts joined by commas, one with a comma in quotes", _texts)
columns = Kind("names joined by commas", lambda text: tuple(_parts(text)))
sizes = Kind("whole numbers joined by commas, as 32,32", lambda text: tuple(int(part) for part in text.split(",")))
limit = Kind('a number, or "none"', lambda text: text if text == "none" else float(text))
count = Kind('a whole number, or "none"', lambda text: text if text == "none" else int(text))
yes_or_no = Kind('"yes" or "no"', _yes)
_levels = Kind("numbers joined by commas, as 0.1,0.5,0.9", lambda text: tuple(float(part) for part in text.split(",")))
_segment = Kind('a whole number, or "auto"', lambda text: text if text == "auto" else int(text))


class Together(argparse.Action):
    """Several texts of an option that may be given again: all of them."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:  # noqa: ARG002
        """Add what is given to what was."""
        setattr(namespace, self.dest, (*(getattr(namespace, self.dest) or ()), *values))


OPTIMISATION = (
    Option("training", "optimizer", str, "(adamw)", ("sgd", "adam", "adamw")),
    Option("training", "learning_rate", float, "(the task's own)"),
    Option(
        "training",
        "schedule",
        str,
        "of the learning rate (one_cycle)",
        ("constant", "cosine", "one_cycle", "exponential", "step", "plateau"),
    ),
    Option("training", "weight_decay", float, "(0)"),
)
TIME_OPTIONS = (
    Option("data", "day_first", bool, "01/02/2024 is 1 February, or is not (found if not given)"),
    Option("data", "time_format", str, 'how times are written, as strptime has it: "%%d.%%m.%%y %%H:%%M" (found)'),
    Option("data", "time_zone", str, "zone of the times: Europe/Berlin, UTC, +01:00 (that of the times, if any)"),
)
FORECASTER_OPTIONS = (
    Option("data", "time", str, "column of times (found if not given); several joined by +, as year+month+day+hour"),
    Option("data", "series_id", str, "column that names the series (unique_id if it is there)"),
    Option("data", "frequency", str, 'step of the grid: h, 15min, D, B, W, MS, ..., 5 or "rows" (found if not given)'),
    *TIME_OPTIONS,
    Option("data", "no_values", str, "the forecast of a series without a value to go by (nan)", ("nan", "error")),
    Option(
        "data",
        "missing",
        texts,
        "cells that mean a missing value beside NA, NaN, null, ..., joined by commas; may be given again",
    ),
    Option("data", "past_covariates", columns, "columns known up to now, joined by commas; text is encoded"),
    Option("data", "known_covariates", columns, "columns known for the coming steps too"),
    Option("data", "static_covariates", columns, "columns that do not change within a series"),
    Option("data", "validation", float, "share or rows at the end of training that decide when to stop (0.1)"),
    Option("data", "test", float, "share or rows at the end held out for the evaluation (0.1)"),
    Option("model", "context", int, "steps a forecast looks back on (two horizons and two seasons)"),
    Option("model", "season", int, "steps of a season, for baselines and MASE (from the frequency)"),
    Option("model", "cell", str, "recurrent cell, any of docs/cells.md, or transformer (gru)"),
    Option("model", "hidden_size", int, "units of a layer (64)"),
    Option("model", "num_layers", int, "layers (1)"),
    Option("model", "dropout", float, "share of outputs dropped in training (0.1)"),
    Option("model", "segment", _segment, "steps that one recurrent step reads, 1 for each by itself (auto)"),
    Option("model", "decoding", str, "all steps at once, or each fed back (direct)", ("direct", "recursive")),
    Option(
        "model",
        "normalization",
        str,
        "what each window is brought to (auto)",
        ("auto", "none", "last", "mean", "standard", "last_std", "mean_abs"),
    ),
    Option("model", "scaling", str, "of each series (auto)", ("auto", "standard", "mean_abs", "none")),
    Option(
        "model",
        "output",
        str,
        "what is forecast (quantiles)",
        ("quantiles", "point", "gaussian", "student_t", "negative_binomial"),
    ),
    Option("model", "quantiles", _levels, "levels, joined by commas (0.1,0.2,...,0.9)"),
    Option("model", "loss", str, "of a point forecast (mae)", ("mae", "mse", "huber")),
    Option("training", "epochs", int, "passes, at most (30)"),
    Option("training", "batch_size", int, "windows in a batch (128, or fewer for small data)"),
    Option("training", "windows_per_epoch", int, "windows drawn in an epoch, at most (8192)"),
    *OPTIMISATION,
    Option("training", "gradient_clip", limit, 'greatest gradient norm, or "none" (1)'),
    Option("training", "patience", count, 'epochs without a better validation loss before it stops, or "none" (8)'),
    Option("training", "max_seconds", float, "time limit of the training"),
    Option("training", "seed", int, "of all random numbers (0)"),
    Option("training", "device", str, "cpu, cuda, mps or auto (cpu)"),
    Option("training", "precision", str, "32-true, bf16-mixed, ... (32-true)"),
)
_OPTIONAL = ("gradient_clip", "patience")  # these can be switched off by "none"
_FLAGS = {
    "no_calendar": ("model", "calendar", False, "do not use time of day, day of week and day of year"),
    "no_highway": ("model", "highway", False, "no linear map beside the recurrence"),
    "no_progress": ("training", "progress", False, "show no progress bar"),
    "tensorboard": ("training", "tensorboard", True, "write TensorBoard logs to DIR/tensorboard"),
}


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Add a forecaster's options in their groups."""
    groups = {name: parser.add_argument_group(name) for name in ("data", "model", "training")}
    groups["data"].add_argument(
        "--target",
        action="append",
        metavar="COL",
        help="column to forecast; may be given again (y, or all numeric ones)",
    )
    add_table(groups, options)
    for flag, (group, _, _, text) in _FLAGS.items():
        groups[group].add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=text)


def add_table(groups: Mapping[str, Any], options: Sequence[Option]) -> None:
    """Add options to their groups."""
    for option in options:
        if option.type is bool:
            group = groups[option.group]
            group.add_argument(option.flag, action=argparse.BooleanOptionalAction, default=None, help=option.help)
            continue
        groups[option.group].add_argument(
            option.flag,
            action=Together if option.type is texts else "store",
            type=option.type,
            choices=option.choices,
            default=None,
            metavar=None if option.choices else option.name.split("_")[-1].upper(),
            help=option.help,
        )


def chosen(arguments: argparse.Namespace, options: Sequence[Option], flags: dict[str, Any] = _FLAGS) -> dict[str, Any]:
    """Return the parameters that were given; the rest keep the estimator's own defaults."""
    given = {option.name: value for option in options if (value := getattr(arguments, option.name)) is not None}
    given = {name: None if value == "none" and name in _OPTIONAL else value for name, value in given.items()}
    switches = {name: value for flag, (_, name, value, _) in flags.items() if getattr(arguments, flag)}
    return {**given, **switches}
