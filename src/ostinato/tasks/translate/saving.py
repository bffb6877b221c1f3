"""A fitted translator to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import vocabulary_from_dict
from ostinato.tasks.base.restoring import restored
from ostinato.tasks.base.summary import summary_from
from ostinato.tasks.translate.fitting import Outcome
from ostinato.tasks.translate.network import NetworkSettings, TranslationNetwork
from ostinato.tasks.translate.translating import Languages
from ostinato.training import History
from ostinato.training.history import EpochRow


def pack(fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a fitted model as plain data and arrays; a matrix, or a vocabulary, that is used twice is kept once."""
    own = fitted.languages
    shared = own.network.settings.shared
    body = {
        "network": asdict(own.network.settings),
        "source": own.source.to_dict(),
        "target": None if shared else own.target.to_dict(),
        "longest": own.longest,
        "copy_unknown": own.copy_unknown,
        "dictionary": dict(fitted.dictionary),
        "history": [asdict(row) for row in fitted.history.rows],
        "best_epoch": fitted.history.best_epoch,
        "stopped": fitted.history.stopped,
        "summary": fitted.summary.plain(),
    }
    return body, {name: value.detach().numpy() for name, value in own.network.named_parameters()}


def unpack(artifact: Artifact) -> Outcome:
    """Return what `pack` took apart."""
    body, arrays = artifact.body, artifact.tensors
    settings = NetworkSettings(**body["network"])
    network = restored(lambda: TranslationNetwork(settings), body["network"], arrays, buffers=False)
    source = vocabulary_from_dict(body["source"])
    target = source if body["target"] is None else vocabulary_from_dict(body["target"])
    rows = tuple(EpochRow(**row) for row in body["history"])
    history = History(rows, body["best_epoch"], body["stopped"])
    languages = Languages(network, source, target, body["longest"], body["copy_unknown"])
    return Outcome(languages, body["dictionary"], history, summary_from(body["summary"]), None)
