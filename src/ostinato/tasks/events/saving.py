"""A fitted event predictor to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data import TimeFormat
from ostinato.data.times import STAMPS
from ostinato.tasks.events.features import TimeFeatures
from ostinato.tasks.events.fitting import Outcome
from ostinato.tasks.events.network import EventNetwork, NetworkSettings
from ostinato.tasks.events.prediction import Reader
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.restoring import restored
from ostinato.tasks.running import run_from
from ostinato.tasks.scores import scores_from
from ostinato.tasks.summary import summary_from


def pack(fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a fitted model as plain data and arrays."""
    reader = fitted.reader
    body = {
        "network": asdict(reader.network.settings),
        "known": list(reader.known),
        "features": asdict(reader.features),
        "scales": [asdict(scale) for scale in reader.scales],
        "unit": list(reader.unit),
        "times": reader.time_format.to_json(),
        "firsts": dict(fitted.firsts),
        "run": fitted.run.plain(),
        "scores": None if fitted.scores is None else fitted.scores.plain(),
        "summary": fitted.summary.plain(),
    }
    return body, {name: value.numpy() for name, value in reader.network.state_dict().items()}


def unpack(artifact: Artifact) -> Outcome:
    """Return what `pack` took apart."""
    body = artifact.body
    settings = NetworkSettings(**body["network"])
    network = restored(lambda: EventNetwork(settings), body["network"], artifact.tensors)
    reader = Reader(
        network,
        tuple(body["known"]),
        TimeFeatures(**{name: (own[0], own[1]) for name, own in body["features"].items()}),
        tuple(TimeScale(**scale) for scale in body["scales"]),
        (body["unit"][0], body["unit"][1]),
        TimeFormat.from_json(body["times"]) if "times" in body else STAMPS,
    )
    return Outcome(
        reader, dict(body["firsts"]), run_from(body["run"]), scores_from(body["scores"]), summary_from(body["summary"])
    )
