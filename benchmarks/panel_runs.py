"""One set of the panel: ours with default options, the peers beside it, both judged from their predictions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import panel_peers as peers
from ostinato import (
    EventPredictor,
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    TextClassifier,
    Translator,
)
from panel_read import Labelled, Log, Pairs, Series, Text
from panel_sets import SETS

ORIGINS = 60  # forecasts of a series at most, at even distances in its test part
HIGHER = {"sequences": "accuracy %", "texts": "accuracy %", "translation": "BLEU", "events": "accuracy %"}
LOWER = {"language": "nats a token", "forecasting": "MASE"}
MEASURES = {**HIGHER, **LOWER}


@dataclass
class Result:
    """What came of one set.

    Args:
        ours: our measure; peers: those of the others, the strong one first; seconds: of our fit; of: what was judged.
        more: other figures.
    """

    ours: float
    peers: dict[str, float]
    seconds: float
    of: str
    more: dict[str, float] = field(default_factory=dict)


def run(name: str, seconds: float | None, seed: int, with_peers: bool) -> Result:
    """Fit on one set and judge."""
    entry = SETS[name]
    return _RUNS[entry.kind](entry.load(), seconds, seed, with_peers)


def _accuracy(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    return 100 * float(np.mean([str(a) == str(b) for a, b in zip(found, wanted, strict=True)]))


def _classes(make: Any, data: Labelled, seconds: float | None, seed: int, name: str, peer: Any) -> Result:
    model = make(seed=seed, max_seconds=seconds, progress=False)
    began = time.perf_counter()
    # a class that training lacks counts as missed where all are judged; a fit would refuse it as a mistake in the data
    known = set(data.train[1])
    parts = [None if own is None else _of_classes(own, known) for own in (data.validation, data.test)]
    model.fit(*data.train, validation=parts[0], test=parts[1])
    spent = time.perf_counter() - began
    found = _accuracy(model.predict(data.test[0]), data.test[1])
    others = {} if peer is None else {name: _accuracy(peer(data, seed), data.test[1])}
    return Result(found, others, spent, f"{len(data.test[1])} of {len(set(data.train[1]))} classes")


def _of_classes(part: tuple[list[Any], list[Any]], known: set[Any]) -> tuple[list[Any], list[Any]]:
    kept = [number for number, label in enumerate(part[1]) if label in known]
    return [part[0][number] for number in kept], [part[1][number] for number in kept]


def _sequences(data: Labelled, seconds: float | None, seed: int, with_peers: bool) -> Result:
    peer = peers.rocket if with_peers else None
    return _classes(SequenceClassifier, data, seconds, seed, "MiniRocket", peer)


def _texts(data: Labelled, seconds: float | None, seed: int, with_peers: bool) -> Result:
    peer = peers.bag_of_words if with_peers else None
    return _classes(TextClassifier, data, seconds, seed, "TF-IDF, logistic regression", peer)


def _language(data: Text, seconds: float | None, seed: int, with_peers: bool) -> Result:
    # words that are rare are unknown to both, so that both choose among the same tokens
    mark = "" if data.level == "character" else " "
    train, test = (mark.join(own) for own in peers.tokens_of(data))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.txt" for name in ("train", "test")]
        for path, text in zip(paths, (train, test), strict=True):
            path.write_text(text, encoding="utf-8")
        model = LanguageModel(level=data.level, seed=seed, max_seconds=seconds, progress=False)
        began = time.perf_counter()
        model.fit(paths[0], test=paths[1])
        spent = time.perf_counter() - began
    assert model.scores_ is not None
    count = f"{model.scores_.count:,} {data.level}s"
    others, more = {}, {}
    if with_peers:
        loss, order = peers.n_grams(data)
        others, more = {"Kneser-Ney": loss}, {"its order": float(order)}
    return Result(model.scores_["nats"], others, spent, count, more)


def _translation(data: Pairs, seconds: float | None, seed: int, with_peers: bool) -> Result:
    model = Translator(seed=seed, max_seconds=seconds, progress=False)
    began = time.perf_counter()
    model.fit(data.train, validation=data.validation, test=data.test)
    spent = time.perf_counter() - began
    assert model.scores_ is not None
    values = model.scores_.values
    others = {name: own["BLEU"] for name, own in values.items() if name != "model"} if with_peers else {}
    return Result(model.scores_["BLEU"], others, spent, f"{len(data.test):,} sentences")


def _forecasting(data: Series, seconds: float | None, seed: int, with_peers: bool) -> Result:
    names = data.frame["id"].unique(maintain_order=True).to_list()
    model = Forecaster(
        data.horizon, target="value", test=data.held, time="time" if "time" in data.frame.columns else None,
        series_id="id" if len(names) > 1 else None, seed=seed, max_seconds=seconds, progress=False,
    )  # fmt: skip
    frame = data.frame if len(names) > 1 else data.frame.drop("id")
    began = time.perf_counter()
    model.fit(frame)
    spent = time.perf_counter() - began
    values = {name: own["value"].to_numpy() for (name,), own in data.frame.group_by("id", maintain_order=True)}
    scale = {name: _scale(own[: -data.held], data.season) for name, own in values.items()}
    others = peers.forecasters() if with_peers else {}
    errors: dict[str, list[float]] = {name: [] for name in ["ours", *others]}
    inside: list[float] = []
    for cut in _cuts(data.held, data.horizon):
        history = {name: own[: len(own) - cut] for name, own in values.items()}
        truth = np.stack([own[len(own) - cut :][: data.horizon] for own in values.values()])
        whole = frame.head(len(frame) - cut) if len(names) == 1 else _cut(frame, cut)
        own = model.predict(whole)
        order = [own.series_ids.index(str(name)) for name in names] if len(names) > 1 else [0]
        found = {"ours": own.point[order, :, 0]}
        inside.extend(_inside(truth, own.quantiles[order, :, 0], own.levels))
        for name, forecast in others.items():
            found[name] = np.stack([forecast(_filled(past), data.season, data.horizon) for past in history.values()])
        for name, guess in found.items():
            relative = np.nanmean(np.abs(truth - guess), 1) / np.array(list(scale.values()))
            errors[name].extend(relative[np.isfinite(relative)])
    scores = {name: float(np.mean(own)) for name, own in errors.items()}
    return Result(
        scores.pop("ours"),
        scores,
        spent,
        f"{len(errors['ours']):,} forecasts",
        {"coverage 80 %": 100 * float(np.mean(inside))},
    )


def _cuts(held: int, horizon: int) -> list[int]:
    """Return how many rows before the end forecasts begin."""
    cuts = np.arange(horizon, held + 1)
    return [
        int(own) for own in cuts[np.unique(np.linspace(0, len(cuts) - 1, min(ORIGINS, len(cuts))).round().astype(int))]
    ]


def _cut(frame: pl.DataFrame, cut: int) -> pl.DataFrame:
    return frame.filter(pl.int_range(pl.len()).over("id") < pl.len().over("id") - cut)


def _scale(values: np.ndarray, season: int) -> float:
    return float(np.nanmean(np.abs(values[season:] - values[:-season])))


def _filled(values: np.ndarray) -> np.ndarray:
    seen = np.flatnonzero(~np.isnan(values))
    return np.interp(np.arange(len(values)), seen, values[seen])


def _inside(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> list[float]:
    low, high = (min(range(len(levels)), key=lambda own: abs(levels[own] - level)) for level in (0.1, 0.9))
    seen = ~np.isnan(truth)
    return list(((truth >= quantiles[..., low]) & (truth <= quantiles[..., high]))[seen].astype(float))


def _events(data: Log, seconds: float | None, seed: int, with_peers: bool) -> Result:
    time_column = "time" if "time" in data.train.columns else None
    model = EventPredictor(time=time_column, seed=seed, max_seconds=seconds, progress=False)
    began = time.perf_counter()
    model.fit(data.train, test=data.test)
    spent = time.perf_counter() - began
    assert model.scores_ is not None
    others = {}
    if with_peers:
        wanted = peers.following(data.test)
        others = {"gradient boosting": _accuracy(peers.boosting(data, seed), wanted)}
        assert len(wanted) == model.scores_.count, (len(wanted), model.scores_.count)
    return Result(100 * model.scores_["accuracy"], others, spent, f"{model.scores_.count:,} prefixes")


_RUNS: dict[str, Callable[[Any, float | None, int, bool], Result]] = {
    "sequences": _sequences, "texts": _texts, "language": _language, "translation": _translation,
    "forecasting": _forecasting, "events": _events,
}  # fmt: skip
