"""A forecaster to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data import Frequency, Panel, Part, Scaler, Schema, Series, TimeFormat
from ostinato.errors import CorruptArtifact
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.network import make_network
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.record import ColumnSummary, DataSummary, Diagnostics, Evaluation, FitRecord, ForecastExample
from ostinato.tasks.base.restoring import restored

Arrays = dict[str, NDArray[Any]]


def pack(fitted: Fitted, record: FitRecord, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    """Return a fitted forecaster as plain data and arrays."""
    arrays: Arrays = {f"network.{name}": value.numpy() for name, value in fitted.network.state_dict().items()}
    arrays |= fitted.scaler.to_arrays()
    arrays |= {"mase_scales": fitted.mase_scales, "calibration": fitted.calibration}
    if fitted.test is not None:
        arrays |= {"test.start": fitted.test.start, "test.stop": fitted.test.stop}
    for i, series in enumerate(fitted.tail.series):
        arrays |= {f"tail.{i}.values": np.asarray(series.values, np.float64), f"tail.{i}.static": series.static}
    body = {
        "parameters": dict(parameters),
        "network": asdict(fitted.settings),
        "scaling": fitted.scaler.kind,
        "series": list(fitted.scaler.series_ids),
        "starts": [time_to_json(series.start) for series in fitted.tail.series],
        "lasts": [time_to_json(series.last) for series in fitted.tail.series],
        "times": fitted.tail.time_format.to_json(),
        "schema": fitted.schema.to_json(),
        "columns": list(fitted.columns),
        "static_columns": list(fitted.static_columns),
        "categories": {name: list(own) for name, own in fitted.categories.items()},
        "frequency": asdict(fitted.frequency),
        "season": fitted.season,
        "fingerprint": fitted.fingerprint,
        "seed": fitted.seed,
        "past": fitted.tail.past,
        "known": fitted.tail.known,
        "origin": fitted.tail.origin,
        "record": _without_arrays(asdict(record), "record", arrays),
    }
    return body, arrays


def unpack(artifact: Artifact) -> tuple[Fitted, FitRecord, dict[str, Any]]:
    """Return what `pack` took apart.

    Raises:
        CorruptArtifact: something that a forecaster needs is not there.
    """
    try:
        return _unpack(artifact.body, artifact.tensors)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise CorruptArtifact(f"the model lacks something that a forecaster needs ({error}); fit it again") from error


def _unpack(body: dict[str, Any], arrays: Arrays) -> tuple[Fitted, FitRecord, dict[str, Any]]:
    settings = NetworkSettings.from_json(body["network"])
    prefix = "network."
    weights = {name.removeprefix(prefix): own for name, own in arrays.items() if name.startswith(prefix)}
    _check_context(settings, body, arrays)
    network = restored(lambda: make_network(settings), body["network"], weights)
    frequency = Frequency(**body["frequency"])
    schema = Schema.from_json(body["schema"])
    time_format = TimeFormat.from_json(body["times"]) if "times" in body else TimeFormat()
    lasts = body.get("lasts", [None] * len(body["series"]))
    series = tuple(
        Series(
            name,
            time_from_json(start),
            arrays[f"tail.{i}.values"],
            arrays[f"tail.{i}.static"],
            last=time_from_json(last),
        )
        for i, (name, start, last) in enumerate(zip(body["series"], body["starts"], lasts, strict=True))
    )
    categories = {name: tuple(own) for name, own in body["categories"].items()}
    columns, static_columns = tuple(body["columns"]), tuple(body["static_columns"])
    tail = Panel(
        origin=body["origin"],
        schema=schema,
        frequency=frequency,
        columns=columns,
        targets=settings.targets,
        past=body["past"],
        known=body["known"],
        static_columns=static_columns,
        categories=categories,
        gaps=0,
        series=series,
        time_format=time_format,
    )
    fitted = Fitted(
        settings=settings,
        network=network,
        scaler=Scaler.from_arrays(body["scaling"], tuple(body["series"]), arrays),
        schema=schema,
        columns=columns,
        static_columns=static_columns,
        categories=categories,
        frequency=frequency,
        season=body["season"],
        mase_scales=arrays["mase_scales"],
        test=Part(arrays["test.start"], arrays["test.stop"]) if "test.start" in arrays else None,
        fingerprint=body["fingerprint"],
        tail=tail,
        seed=body["seed"],
        calibration=arrays["calibration"],
        no_values=body["parameters"].get("no_values", "nan"),
    )
    return fitted, _record(_with_arrays(body["record"], arrays)), dict(body["parameters"])


def time_to_json(time: Any) -> Any:
    """Return a time of a grid as plain data: a date as text, a time gone by as microseconds, a number as it is."""
    if isinstance(time, np.datetime64):
        return str(time)
    if isinstance(time, np.timedelta64):
        return {"microseconds": int(time.astype("timedelta64[us]").astype(np.int64))}
    return time if time is None or (isinstance(time, float) and not time.is_integer()) else int(time)


def time_from_json(time: Any) -> Any:
    """Return what `time_to_json` wrote."""
    if isinstance(time, str):
        return np.datetime64(time, "us")
    return np.timedelta64(time["microseconds"], "us") if isinstance(time, Mapping) else time


def _without_arrays(value: Any, name: str, arrays: Arrays) -> Any:
    """Move every array of a tree into `arrays`, leaving its name."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, Mapping):
        return {key: _without_arrays(own, f"{name}.{key}", arrays) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(own, f"{name}.{i}", arrays) for i, own in enumerate(value)]
    return value


def _with_arrays(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return arrays[value["$array"]]
        return {key: _with_arrays(own, arrays) for key, own in value.items()}
    if isinstance(value, list):
        return tuple(_with_arrays(own, arrays) for own in value)
    return value


def _check_context(settings: NetworkSettings, body: Mapping[str, Any], arrays: Arrays) -> None:
    """Refuse sizes that no weights speak of: of the context and the season, of the scaler and the rows."""
    if (
        not 0 < settings.context <= 1_000_000
        or not 0 < body["season"] <= 1_000_000
        or not 0 < settings.horizon <= 1_000_000
    ):
        raise ValueError(
            f"its context is {settings.context}, its horizon {settings.horizon}, its season {body['season']}"
        )
    starts = [own for own in body["starts"] if isinstance(own, (int, float))]
    if any(not abs(own) < 2**62 for own in starts) or not 0 < body["frequency"]["step"] < 2**50:
        raise ValueError(f"its series begin at {str(starts[:1])[:40]}, {str(body['frequency'])[:80]} a step")
    width, count = settings.targets + settings.past + settings.known, len(body["series"])
    shapes: dict[str, tuple[int, ...]] = {
        "scaler.targets.center": (count, settings.targets),
        "scaler.targets.scale": (count, settings.targets),
    }
    shapes |= {"mase_scales": (count, settings.targets), "calibration": (len(settings.quantiles),)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f'its array "{name}" has the shape {arrays[name].shape}; expected {shape}')
    for place in range(count):
        rows = arrays[f"tail.{place}.values"]
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(f"its rows have the shape {rows.shape}; expected {width} columns")


def _record(plain: dict[str, Any]) -> FitRecord:
    data = plain["data"]
    made = {
        "data": DataSummary(**{**data, "columns": tuple(ColumnSummary(**own) for own in data["columns"])}),
        "evaluation": Evaluation(**plain["evaluation"]) if plain["evaluation"] else None,
        "examples": tuple(ForecastExample(**own) for own in plain["examples"]),
        "diagnostics": Diagnostics(**plain["diagnostics"]) if plain["diagnostics"] else None,
    }
    return FitRecord(**{field.name: made.get(field.name, plain[field.name]) for field in fields(FitRecord)})
