"""What an expert would put beside each kind of set in the panel: well-kept libraries with their usual settings.

Classes of sequences: MiniRocket (Dempster et al., 2021) and a ridge classifier. Texts: TF-IDF of words and pairs of
words and a logistic regression, its penalty chosen on a validation part. Language: interpolated modified Kneser-Ney
(Chen and Goodman, 1999), its order chosen on a validation part. Forecasting: AutoETS, Theta (with several seasons taken
off first where there are some), a ridge autoregression, the seasonal naive forecast. Events: gradient boosting on the
last activities, counts and times. All come from the extra `baselines`, but for Kneser-Ney, which is here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from panel_read import Labelled, Log, Text


def rocket(data: Labelled, seed: int) -> list[Any]:
    """Return the classes of the test part by MiniRocket and a ridge classifier."""
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sktime.transformations.panel.rocket import MiniRocketMultivariateVariable

    train, test = (_nested(own[0]) for own in (data.train, data.test))
    transform = MiniRocketMultivariateVariable(pad_value_short_series=0.0, random_state=seed)
    ridge = make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)))
    ridge.fit(transform.fit_transform(train), data.train[1])
    return list(ridge.predict(transform.transform(test)))


def _nested(sequences: Sequence[np.ndarray]) -> Any:
    import pandas as pd

    wide = [own[:, None] if own.ndim == 1 else own for own in sequences]
    columns = range(wide[0].shape[1])
    return pd.DataFrame({f"c{n}": [pd.Series(np.nan_to_num(own[:, n]).astype(float)) for own in wide] for n in columns})


def bag_of_words(data: Labelled, seed: int) -> list[Any]:
    """Return the classes of the test part by TF-IDF and a logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    texts, labels = data.train
    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    if data.validation is not None:
        parts = (texts, data.validation[0], labels, data.validation[1])
    else:
        parts = train_test_split(texts, labels, test_size=0.1, random_state=seed)
    fitted, held, targets, wanted = parts
    counts, rest = counter.fit_transform(fitted), counter.transform(held)

    def right(strength: float) -> float:
        model = LogisticRegression(C=strength, max_iter=1000).fit(counts, targets)
        return float((model.predict(rest) == np.asarray(wanted)).mean())

    best = max((1.0, 10.0, 100.0), key=right)
    model = LogisticRegression(C=best, max_iter=1000).fit(counter.fit_transform(texts), labels)
    return list(model.predict(counter.transform(data.test[0])))


class KneserNey:
    """Interpolated modified Kneser-Ney on tokens, with all orders up to one, as dictionaries.

    >>> model = KneserNey(list("abababab"), 2, 3)
    >>> round(sum(2.718281828459045 ** model.log(["a"], token, 2) for token in "ab"), 6) < 1
    True
    """

    def __init__(self, tokens: Sequence[Any], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        raw: list[Counter[tuple[Any, ...]]] = [Counter() for _ in range(order + 1)]
        for size in range(1, order + 1):
            raw[size] = Counter(zip(*(tokens[shift:] for shift in range(size)), strict=False))
        self.contexts: list[dict[tuple[Any, ...], tuple[float, dict[Any, float]]]] = [{} for _ in range(order + 1)]
        for size in range(1, order + 1):
            # below the highest order, a gram counts by how many tokens stand before it
            counts = raw[size] if size == order else Counter(gram[1:] for gram in raw[size + 1])
            self.contexts[size] = self._discounted(counts)
        self.highest = {size: self._discounted(raw[size]) for size in range(1, order)}

    @staticmethod
    def _discounted(counts: Counter[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[float, dict[Any, float]]]:
        sizes = Counter(counts.values())
        n1, n2, n3, n4 = (max(sizes[size], 1) for size in (1, 2, 3, 4))
        scale = n1 / (n1 + 2 * n2)
        cut = (0.0, 1 - 2 * scale * n2 / n1, 2 - 3 * scale * n3 / n2, 3 - 4 * scale * n4 / n3)
        cut = tuple(min(max(own, 0.0), 0.95 * number) for number, own in enumerate(cut))
        followers: dict[tuple[Any, ...], dict[Any, int]] = defaultdict(dict)
        for gram, count in counts.items():
            followers[gram[:-1]][gram[-1]] = count
        found = {}
        for context, own in followers.items():
            total = sum(own.values())
            kept = {token: (count - cut[min(count, 3)]) / total for token, count in own.items()}
            found[context] = (1 - sum(kept.values()), kept)
        return found

    def log(self, context: Sequence[Any], token: Any, order: int) -> float:
        """Return the log-probability of a token after a context by grams of so many tokens at most."""
        probability = 1 / self.vocabulary
        for size in range(1, order + 1):
            if size - 1 > len(context):
                break
            table = self.contexts[size] if size < order or order == self.order else self.highest[size]
            own = table.get(tuple(context[len(context) - size + 1 :]))
            if own is not None:
                probability = own[0] * probability + own[1].get(token, 0.0)
        return math.log(max(probability, 1e-300))

    def loss(self, tokens: Sequence[Any], order: int) -> float:
        """Return the mean loss of the tokens but the first, in nats."""
        before = order - 1
        logs = [self.log(tokens[max(0, n - before) : n], tokens[n], order) for n in range(1, len(tokens))]
        return -sum(logs) / len(logs)


def n_grams(data: Text) -> tuple[float, int]:
    """Return the loss of the test, in nats a token, and the order that was best on the end of the training text."""
    train, test = tokens_of(data)
    size = len(set(train)) + 1
    cut = len(train) * 19 // 20
    highest = 7 if data.level == "character" else 4
    held = train[cut : cut + 50_000]
    first = KneserNey(train[:cut], highest, size)
    order = min(range(2, highest + 1), key=lambda own: first.loss(held, own))
    return KneserNey(train, order, size).loss(test, order), order


def tokens_of(data: Text) -> tuple[list[str], list[str]]:
    """Return the tokens of both parts; words that the training part has once are unknown, as unknown ones are."""
    if data.level == "character":
        return list(data.train), list(data.test)
    train, test = (own.replace("\n", " \n ").split(" ") for own in (data.train, data.test))
    train, test = ([token for token in own if token] for own in (train, test))
    known = {token for token, count in Counter(train).items() if count > 1}
    return tuple([token if token in known else "<unk>" for token in own] for own in (train, test))  # type: ignore[return-value]


Forecaster = Callable[[np.ndarray, int, int], np.ndarray]


def forecasters() -> dict[str, Forecaster]:
    """Return the peers of a forecast: each takes a history, its season and a horizon."""
    return {"seasonal naive": _seasonal_naive, "AutoETS": _ets, "Theta": _theta, "autoregression": _regression}


def _seasonal_naive(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    return history[-season:][np.arange(horizon) % season] if len(history) >= season else np.full(horizon, history[-1])


def _ets(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    from statsforecast.models import AutoETS

    return _seasonally(
        lambda values, own: AutoETS(season_length=own).forecast(values, horizon)["mean"], history, season, horizon
    )


def _theta(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    from statsforecast.models import DynamicOptimizedTheta

    return _seasonally(
        lambda values, own: DynamicOptimizedTheta(season_length=own).forecast(values, horizon)["mean"],
        history,
        season,
        horizon,
    )


def _seasonally(
    model: Callable[[np.ndarray, int], np.ndarray], history: np.ndarray, season: int, horizon: int
) -> np.ndarray:
    """Forecast; where the season is long, what STL takes off (day, then week) is repeated and the rest is forecast."""
    history = history[-2000:]
    if season <= 24 or len(history) < 2 * season:
        return model(history, season if len(history) >= 2 * season else 1)
    from statsforecast.models import MSTL, AutoETS

    every = [season // 7, season] if season % 7 == 0 else [season]
    return MSTL(season_length=every, trend_forecaster=AutoETS(model="ZZN")).forecast(history, horizon)["mean"]


def _regression(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Forecast all steps by a ridge regression on the last two seasons and two horizons, less the last value."""
    history = history[-5000:]
    lags = min(max(2 * horizon, 2 * season, 8), len(history) // 3)
    rows = len(history) - lags - horizon + 1
    if rows < 10:
        return _seasonal_naive(history, season, horizon)
    windows = np.lib.stride_tricks.sliding_window_view(history, lags + horizon)
    last = windows[:, lags - 1 : lags]
    inputs, outputs = windows[:, :lags] - last, windows[:, lags:] - last
    gram = inputs.T @ inputs + np.eye(lags) * (1e-3 * np.trace(inputs.T @ inputs) / lags + 1e-9)
    weights = np.linalg.solve(gram, inputs.T @ outputs)
    return (history[-lags:] - history[-1]) @ weights + history[-1]


def boosting(data: Log, seed: int) -> list[str]:
    """Return what comes next after every prefix of the test cases, by gradient boosting; `""` is the end."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    names = sorted(data.train["activity"].unique())
    train, targets = _prefixes(data.train, names)
    test, _ = _prefixes(data.test, names)
    model = HistGradientBoostingClassifier(max_iter=200, early_stopping=True, random_state=seed)
    return list(model.fit(train, targets).predict(test))


def _prefixes(frame: pl.DataFrame, names: Sequence[str], last: int = 5) -> tuple[np.ndarray, list[str]]:
    """Return features of every prefix, and what follows."""
    place = {name: number for number, name in enumerate(names)}
    rows, targets = [], []
    for _, case in frame.group_by("case", maintain_order=True):
        activities, times = case["activity"].to_list(), case["time"].to_list() if "time" in case.columns else None
        counts = np.zeros(len(names) + 1)
        for end, activity in enumerate(activities):
            counts[place.get(activity, len(names))] += 1
            recent = [place.get(own, len(names)) for own in reversed(activities[max(0, end + 1 - last) : end + 1])]
            row = [*recent, *[-1] * (last - len(recent)), end, *counts]
            if times is not None:
                now, before = times[end], times[end - 1] if end else times[end]
                row += [(now - times[0]).total_seconds(), (now - before).total_seconds(), now.hour, now.weekday()]
            rows.append(row)
            targets.append(activities[end + 1] if end + 1 < len(activities) else "")
    return np.array(rows, float), targets


def following(frame: pl.DataFrame) -> list[str]:
    """Return what follows each prefix of each case; `""` is the end."""
    cases = frame.group_by("case", maintain_order=True).agg("activity")["activity"].to_list()
    return [activity for case in cases for activity in [*case[1:], ""]]
