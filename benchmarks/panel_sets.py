"""The sets of the panel: every set of the shared data that fits a task.

`SETS[name]` says the kind, and how the set is read; `DEVELOPMENT` are those that defaults were chosen on, all others
were looked at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import panel_read as read


@dataclass(frozen=True)
class Entry:
    """A set: its kind, and what loads it."""

    kind: str
    load: Callable[[], Any]


def _of(kind: str, load: Callable[..., Any], *given: Any) -> Entry:
    return Entry(kind, partial(load, *given))


_series = partial(_of, "forecasting", read.read_one)
_SMALL = "small_series"
_POLARITY, _SUBJECT = "movie_review_sentences/rt-polarity", "subjectivity/subj"
SETS: dict[str, Entry] = {
    **{own: _of("sequences", read.read_ts, f"ucr_uea/{own}", own) for own in ("GunPoint", "ItalyPowerDemand")},
    **{own: _of("sequences", read.read_ts, f"ucr_uea/{own}", own) for own in ("JapaneseVowels", "BasicMotions")},
    **{
        own: _of("sequences", read.read_tsv, f"ucr_{own.lower()}", own)
        for own in ("ECG200", "Trace", "Lightning7", "SyntheticControl", "SwedishLeaf", "GesturePebbleZ1")
    },
    **{own: _of("sequences", read.read_ts, f"uea_{own.lower()}", own) for own in ("Epilepsy", "NATOPS")},
    "indoor movement": _of("sequences", read.read_indoor_movement),
    "wrist": _of("sequences", read.read_wrist),
    "sst2": _of("texts", read.read_sst2),
    "sst5": _of("texts", read.read_sst5),
    "sentences": _of("texts", read.read_two_files, f"{_POLARITY}.neg", f"{_POLARITY}.pos"),
    "subjectivity": _of("texts", read.read_two_files, f"{_SUBJECT}.objective.gz", f"{_SUBJECT}.subjective.gz"),
    "reviews": _of("texts", read.read_reviews),
    "news": _of("texts", read.read_news),
    "intents": _of("texts", read.read_intents),
    "treebank, words": _of("language", read.read_treebank, "word"),
    "treebank, 400,000 characters": _of("language", read.read_treebank, "character"),
    "shakespeare, characters": _of("language", read.read_shakespeare),
    "captions, words": _of("language", read.read_captions),
    "captions, 5,000 pairs": _of("translation", read.read_pairs, 5_000),
    "captions, 29,000 pairs": _of("translation", read.read_pairs, 29_000),
    "airline": _series(f"{_SMALL}/monthly-airline-passengers.csv", "Passengers", "Month", 12, 24, 12),
    "sunspots": _series(f"{_SMALL}/monthly-sunspots.csv", "Sunspots", "Month", 12, 564, 1),
    "temperatures": _series(f"{_SMALL}/daily-min-temperatures.csv", "Temp", "Date", 7, 730, 7),
    "births": _series(f"{_SMALL}/daily-total-female-births.csv", "Births", "Date", 7, 73, 7),
    "household power": _series(
        "household_power_daily/household_power_consumption_days.csv",
        "Global_active_power", "Datetime", 7, 322, 7,
    ),
    "page views": _of("forecasting", read.read_views),
    "demand": _series("taylor_half_hourly/taylor.csv", "x", None, 48, 336, 336),
    "S&P 500": _series("stocks/sp500-2000.csv", "close", "date", 5, 1021, 1),
    "oil temperature": _series("etth1/ETTh1.csv", "OT", "date", 24, 2880, 24),
    "PM2.5": _of("forecasting", read.read_beijing),
    "bikes": _of("forecasting", read.read_bikes),
    "weather": _of("forecasting", read.read_weather),
    "exchange rates": _of("forecasting", read.read_exchange),
    "shares": _of("forecasting", read.read_shares),
    "M4 weekly": _of("forecasting", read.read_m4, "Weekly", 13, 1),
    "M4 hourly": _of("forecasting", read.read_m4, "Hourly", 48, 24, 5),
    "help desk": _of("events", read.read_helpdesk),
    "HDFS sessions": _of("events", read.read_sessions),
}  # fmt: skip
DEVELOPMENT = frozenset({
    "GunPoint", "ItalyPowerDemand", "ECG200", "Trace", "Lightning7", "NATOPS", "indoor movement", "sst2", "reviews",
    "intents", "treebank, words", "shakespeare, characters", "captions, 5,000 pairs", "airline", "temperatures",
    "demand", "bikes", "M4 weekly", "M4 hourly", "S&P 500", "shares",
})  # fmt: skip


def main() -> None:
    """Load every set and print its sizes."""
    for name, entry in SETS.items():
        print(name, entry.kind, json.dumps(sizes(entry.load())))


def sizes(data: Any) -> dict[str, int]:
    """Return how many there are of what the set has."""
    if isinstance(data, read.Series):
        return {"rows": len(data.frame), "series": data.frame["id"].n_unique()}
    if isinstance(data, read.Labelled):
        return {"train": len(data.train[1]), "test": len(data.test[1]), "classes": len(set(data.train[1]))}
    return {name: len(own) for name, own in vars(data).items() if name != "level" and own is not None}


if __name__ == "__main__":
    main()
