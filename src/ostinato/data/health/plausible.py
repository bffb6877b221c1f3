"""What values of well-known measurements can be: those outside are no measurements, and are reported by variable."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError

Limits = Mapping[str, tuple[float, float]]

# the widest that any living patient has had, in the unit that is usual at a bedside; a variable is known by its name
# without marks and case, so that "Heart Rate", "heart_rate" and "HR" are one
_KNOWN: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("hr", "heartrate", "pulse", "pulserate"), 0, 350),
    (("resprate", "rr", "respiratoryrate", "respiration"), 0, 120),
    (("sysabp", "nisysabp", "sbp", "systolic", "systolicbp", "systolicbloodpressure"), 0, 350),
    (("diasabp", "nidiasabp", "dbp", "diastolic", "diastolicbp", "diastolicbloodpressure"), 0, 300),
    (("map", "nimap", "mbp", "meanbp", "meanbloodpressure"), 0, 330),
    (("spo2", "sao2", "o2sat", "oxygensaturation"), 0, 100.5),
    (("temp", "temperature", "bodytemperature"), 10, 115),  # both scales: the unit is reported
    (("ph", "arterialph", "bloodph"), 6.3, 8.5),
    (("paco2", "pco2"), 0, 250),
    (("pao2", "po2"), 0, 800),
    (("fio2",), 0.15, 100),
    (("gcs", "glasgowcomascale", "glasgow"), 3, 15),
    (("glucose", "bloodglucose"), 0, 2500),
    (("k", "potassium"), 0.5, 15),
    (("na", "sodium"), 80, 220),
    (("mg", "magnesium"), 0, 15),
    (("hco3", "bicarbonate"), 0, 80),
    (("hct", "hematocrit", "haematocrit"), 0, 85),
    (("lactate",), 0, 50),
    (("creatinine",), 0, 60),
    (("bun",), 0, 350),
    (("wbc",), 0, 800),
    (("platelets",), 0, 4000),
    (("albumin",), 0, 80),
    (("bilirubin",), 0, 100),
    (("age",), 0, 130),
    (("weight", "bodyweight"), 0.2, 700),
    (("height", "bodyheight"), 15, 275),
)
_BY_NAME = {name: (low, high) for names, low, high in _KNOWN for name in names}
_ZERO_IS_NONE = {"weight", "bodyweight", "height", "bodyheight", "map", "nimap", "sysabp", "nisysabp", "sbp"}


def bare(variable: str) -> str:
    """Return the name of a variable without marks and case.

    >>> bare("Heart Rate")
    'heartrate'
    """
    return re.sub(r"[^a-z0-9]", "", variable.lower())


def read_limits(given: str | Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return limits that are written as `"HR=20:300"`.

    Raises:
        UsageError: one is not written so.

    >>> read_limits("HR=20:300")
    {'HR': (20.0, 300.0)}
    """
    found = {}
    for one in (given,) if isinstance(given, str) else given:
        matched = re.fullmatch(r"\s*(.+?)\s*=\s*([^:]+):([^:]+)\s*", one)
        try:
            low, high = (float(part) for part in matched.groups()[1:]) if matched else (1.0, 0.0)
        except ValueError:
            low, high = 1.0, 0.0
        if matched is None or not low < high:
            raise UsageError(f'limits has "{one[:80]}"; expected a variable, its least and its greatest: HR=20:300')
        found[matched.group(1)] = (low, high)
    return found


def limits_of(variable: str, asked: Limits) -> tuple[float, float]:
    """Return the least and the greatest that a variable can be: as asked, as is known of its name, or any."""
    if variable in asked:
        return asked[variable]
    return _BY_NAME.get(bare(variable), (-np.inf, np.inf))


def impossible(variable: str, values: NDArray[np.float64], asked: Limits) -> NDArray[np.bool_]:
    """Return which values a variable cannot have, `(values,)`."""
    low, high = limits_of(variable, asked)
    found = (values < low) | (values > high)
    if variable not in asked and bare(variable) in _ZERO_IS_NONE:
        found |= values == 0  # a cuff that was not read, a scale that was not stood on
    return np.asarray(found)


def unit_of(variable: str, median: float) -> str:
    """Return in which of two units a variable seems to be recorded, in words; empty where there is but one.

    >>> unit_of("Temp", 98.2), unit_of("HR", 80.0)
    ('degrees Fahrenheit', '')
    """
    name = bare(variable)
    if name in ("temp", "temperature", "bodytemperature"):
        return "degrees Fahrenheit" if median > 60 else "degrees Celsius"
    if name == "fio2":
        return "per cent" if median > 1 else "a share"
    if name in ("glucose", "bloodglucose"):
        return "mmol/l" if median < 30 else "mg/dl"
    if name == "creatinine":
        return "umol/l" if median > 25 else "mg/dl"
    return ""
