"""A fitted classifier to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import vocabulary_from_dict
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.examples import Classes
from ostinato.tasks.classify.fitting import Fitted
from ostinato.tasks.classify.network import ClassifierNetwork, NetworkSettings
from ostinato.tasks.classify.texts import TextEncoder
from ostinato.tasks.base.restoring import restored
from ostinato.tasks.base.summary import summary_from
from ostinato.training import History
from ostinato.training.history import EpochRow

_WEIGHTS = "network."


def pack(fitted: Fitted) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a fitted model as plain data and arrays."""
    plain, arrays = _pack_encoder(fitted.encoder)
    body = {
        "network": asdict(fitted.network.settings),
        "encoder": plain,
        "classes": list(fitted.classes.names),
        "temperature": fitted.temperature,
        "history": [asdict(row) for row in fitted.history.rows],
        "best_epoch": fitted.history.best_epoch,
        "stopped": fitted.history.stopped,
        "summary": fitted.summary.plain(),
    }
    weights = {_WEIGHTS + name: value.numpy() for name, value in fitted.network.state_dict().items()}
    return body, {**weights, **arrays}


def unpack(artifact: Artifact) -> Fitted:
    """Return what `pack` took apart."""
    body, arrays = artifact.body, artifact.tensors
    settings = {**body["network"], "convolutions": tuple(body["network"]["convolutions"])}
    weights = {name.removeprefix(_WEIGHTS): own for name, own in arrays.items() if name.startswith(_WEIGHTS)}
    network = restored(lambda: ClassifierNetwork(NetworkSettings(**settings)), body["network"], weights)
    names = tuple(body["classes"])
    if len(names) != network.settings.classes or not all(isinstance(name, (str, bool, int, float)) for name in names):
        raise ValueError(f"it has {len(names)} classes; its network tells {network.settings.classes} apart")
    history = History(tuple(EpochRow(**row) for row in body["history"]), body["best_epoch"], body["stopped"])
    return Fitted(
        network,
        _unpack_encoder(body["encoder"], arrays),
        Classes(names),
        body["temperature"],
        history,
        summary_from(body["summary"]),
    )


def _pack_encoder(encoder: TextEncoder | ChannelEncoder) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    if isinstance(encoder, TextEncoder):
        return {"vocabulary": encoder.vocabulary.to_dict(), "level": encoder.level}, {}
    plain = {"channels": list(encoder.channels), "masked": encoder.masked, "gap": encoder.gap}
    return plain, {"scaler.center": encoder.center, "scaler.scale": encoder.scale}


def _unpack_encoder(plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TextEncoder | ChannelEncoder:
    if "vocabulary" in plain:
        return TextEncoder(vocabulary_from_dict(plain["vocabulary"]), plain["level"])
    center, scale = arrays["scaler.center"], arrays["scaler.scale"]
    if not center.shape == scale.shape == (len(plain["channels"]),):
        raise ValueError(f"its scaler is of {center.shape} channels; expected {len(plain['channels'])}")
    return ChannelEncoder(tuple(plain["channels"]), center, scale, plain["masked"], plain["gap"])
