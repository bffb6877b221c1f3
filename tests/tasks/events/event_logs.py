"""Event logs that tests are made of, and the predictor that they train."""

from datetime import datetime, timedelta

import numpy as np

from ostinato.tasks.events.cases import Case

SMALL = {
    "hidden_size": 16,
    "members": 1,
    "trees": False,
    "embedding_size": 6,
    "progress": False,
    "learning_rate": 1e-2,
    "batch_size": 16,
}
HOURS = {"open": 1.0, "check": 24.0, "fix": 5.0, "wait": 48.0, "close": 0.0, "reject": 0.0}


def make_log(cases: int, seed: int = 0) -> dict[str, list]:
    """A log in which the end of a case and its waits depend on its first event."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {"case": [], "activity": [], "time": []}
    for number in range(cases):
        kind = rng.integers(2)
        steps = ["open", "check"] if kind else ["fix", "check"]
        steps += ["wait"] * int(rng.integers(1, 3)) + (["close"] if kind else ["reject"])
        at = datetime(2024, 1, 1) + timedelta(hours=7 * number)
        for step in steps:
            for name, value in (("case", f"c{number}"), ("activity", step), ("time", at)):
                rows[name].append(value)
            at += timedelta(hours=HOURS[step] * (1 + 3 * int(kind)) * float(rng.uniform(0.9, 1.1)))
    return rows


def rows_of(log: dict[str, list]) -> list[dict]:
    return [dict(zip(log, row, strict=True)) for row in zip(*log.values(), strict=True)]


def make_desk(cases: int, seed: int = 0) -> dict[str, list]:
    """A log in which what comes next depends on who does it, on an amount and the hour; three columns are useless."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list] = {
        name: [] for name in ("case", "activity", "time", "who", "amount", "event id", "unit", "code")
    }
    for number in range(cases):
        who, amount = ("ann", "bob", None)[rng.integers(3)], float(rng.uniform(0, 100))
        at = datetime(2024, 1, 1) + timedelta(hours=5.3 * number)
        first = ["read", "write"] if at.hour < 12 else ["write", "read"]
        for step in ["open", *first, "big" if amount > 60 else "small", f"close {who or 'any'}"]:
            values = (f"c{number}", step, at, who, round(amount, 2), len(rows["case"]), "kg", step.upper())
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
            at += timedelta(minutes=float(rng.uniform(1, 9)))
    return rows


def case_of(kinds: list[int], activities: int) -> Case:
    own = np.array(kinds)
    following = np.append(own[1:] - 1, activities)
    numbers, codes = np.zeros((len(own), 1)), np.zeros((len(own), 1), np.int64)
    return Case(own, numbers, codes, following, np.full((len(own), 2), np.nan))
