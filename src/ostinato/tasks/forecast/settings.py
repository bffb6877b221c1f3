"""The choices of a forecaster that its network depends on, after everything automatic was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ostinato.data import Frequency
from ostinato.errors import UsageError
from ostinato.nn.heads import Gaussian, Head, NegativeBinomialHead, Point, PointLoss, Quantiles, StudentTHead

Output = Literal["point", "quantiles", "gaussian", "student_t", "negative_binomial"]
Decoding = Literal["direct", "recursive"]
_LONGEST = 700  # steps of a season that a context holds
Normalization = Literal["none", "last", "mean", "standard", "last_std", "mean_abs"]


@dataclass(frozen=True)
class NetworkSettings:
    """What a forecasting network is built from.

    `targets`, `past`, `known`, `calendar` and `static` count columns; `masked` says whether a mask of the observed
    values is among the inputs; the rest is explained at `Forecaster`.
    """

    horizon: int
    context: int
    segment: int
    targets: int
    past: int
    known: int
    calendar: int
    static: int
    masked: bool
    hidden_size: int
    num_layers: int
    dropout: float
    decoding: Decoding
    normalization: Normalization
    highway: bool
    output: Output
    quantiles: tuple[float, ...]
    loss: PointLoss

    @property
    def future_segments(self) -> int:
        """Segments that cover the horizon."""
        return -(-self.horizon // self.segment)


def make_head(settings: NetworkSettings) -> Head:
    """Return the head that the settings name."""
    if settings.output == "point":
        return Point(settings.loss)
    if settings.output == "quantiles":
        return Quantiles(settings.quantiles)
    heads: dict[str, type[Head]] = {
        "gaussian": Gaussian,
        "student_t": StudentTHead,
        "negative_binomial": NegativeBinomialHead,
    }
    return heads[settings.output]()


def choose_seasons(season: int | None, frequency: Frequency, found: Sequence[int], rows: int) -> tuple[int, ...]:
    """Return all season lengths in steps, the shortest first.

    The one given; else the usual ones of the frequency, whether or not the series as a whole show them, and those found
    in the data, as far as training holds them twice. A year of days is left to the calendar.
    """
    if season is not None:
        return (season,) if season > 1 else ()
    yearly = frequency.has_calendar and frequency.unit != "month" and max(frequency.seasons, default=0) < 60
    lengths = {
        *frequency.seasons,
        *(length for length in found if not yearly or length in frequency.seasons or length <= 60),
    }
    return tuple(sorted(length for length in lengths if 2 * length <= rows and 1 < length <= _LONGEST))


def choose_season(season: int | None, frequency: Frequency, found: Sequence[int], rows: int) -> int:
    """Return the season that baselines repeat and MASE is scaled by: the longest usual one that training holds twice.

    The longest of the short ones: a week of hours is taken rather than a day, but not a year of days. Of rows without
    usual seasons it is the strongest one found.
    """
    if season is not None:
        return season
    known = frequency.seasons or tuple(found)
    fitting = [length for length in known if 2 * length <= rows and length <= 200]
    return fitting[0] if fitting else 1


def choose_context(context: int | None, horizon: int, seasons: Sequence[int], rows: int) -> int:
    """Return how many steps a forecast looks back on.

    By default as far as two horizons, two of the shortest seasons, and the longest season with one of the shortest
    before it, but not more than a third of the typical training part, so that windows are left to learn from.
    """
    if context is not None:
        return context
    most = max(1, min(1024, max(rows // 3, min(horizon, rows // 2))))
    wish = max([2 * horizon, 16, *(2 * length for length in seasons[:1])])
    longer = [length + seasons[0] for length in seasons[1:] if length + seasons[0] <= most]
    return min(max([wish, *longer]), most)


def choose_segment(segment: int | Literal["auto"], context: int, seasons: Sequence[int], decoding: Decoding) -> int:
    """Return how many steps one recurrent step reads: by default the shortest season, else an eighth of the context."""
    if segment != "auto":
        if segment > context:
            raise UsageError(f"segment is {segment}; expected 1 to {context} steps (the context), or auto")
        return segment
    if decoding == "recursive":
        return 1
    natural = [length for length in seasons if length <= 48 and 2 * length <= context]
    return natural[0] if natural else max(1, min(24, context // 8))
