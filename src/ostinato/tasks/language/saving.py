"""A fitted language model to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import vocabulary_from_dict
from ostinato.tasks.language.evaluation import LanguageScores
from ostinato.tasks.language.fitting import Outcome
from ostinato.tasks.language.network import LanguageNetwork, NetworkSettings
from ostinato.tasks.base.restoring import restored
from ostinato.tasks.base.summary import summary_from
from ostinato.training import History
from ostinato.training.history import EpochRow


def pack(fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a fitted model as plain data and arrays; a matrix that is used twice is kept once."""
    network, scores = fitted.network, fitted.scores
    body = {
        "network": asdict(network.settings),
        "vocabulary": fitted.vocabulary.to_dict(),
        "history": [asdict(row) for row in fitted.history.rows],
        "best_epoch": fitted.history.best_epoch,
        "stopped": fitted.history.stopped,
        "scores": None if scores is None else {**vars(scores), "losses": dict(scores.losses)},
        "summary": fitted.summary.plain(),
    }
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    if network.settings.tie_weights:
        del arrays["scores.weight"]
    return body, arrays


def unpack(artifact: Artifact) -> Outcome:
    """Return what `pack` took apart."""
    body, arrays = artifact.body, artifact.tensors
    settings = NetworkSettings(**{**body["network"], "cutoffs": tuple(body["network"]["cutoffs"])})
    network = restored(lambda: LanguageNetwork(settings), body["network"], arrays)
    rows = tuple(EpochRow(**row) for row in body["history"])
    scores = None if body["scores"] is None else LanguageScores(**body["scores"])
    history = History(rows, body["best_epoch"], body["stopped"])
    return Outcome(
        network, vocabulary_from_dict(body["vocabulary"]), history, scores, summary_from(body["summary"]), None
    )
