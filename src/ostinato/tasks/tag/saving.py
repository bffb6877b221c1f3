"""A fitted tagger to and from plain data and arrays, as the artifact keeps them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import CharacterVocabulary, WordVocabulary, vocabulary_from_dict
from ostinato.tasks.base.restoring import restored
from ostinato.tasks.running import run_from
from ostinato.tasks.scores import scores_from
from ostinato.tasks.base.summary import summary_from
from ostinato.tasks.tag.corpus import Words
from ostinato.tasks.tag.fitting import Outcome
from ostinato.tasks.tag.network import NetworkSettings, TagNetwork
from ostinato.tasks.tag.prediction import Tagger


def pack(fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a fitted model as plain data and arrays."""
    tagger = fitted.tagger
    body = {
        "network": asdict(tagger.network.settings),
        "words": tagger.words.words.to_dict(),
        "characters": tagger.words.characters.to_dict(),
        "longest": tagger.words.longest,
        "run": fitted.run.plain(),
        "scores": None if fitted.scores is None else fitted.scores.plain(),
        "summary": fitted.summary.plain(),
    }
    return body, {name: value.numpy() for name, value in tagger.network.state_dict().items()}


def unpack(artifact: Artifact) -> Outcome:
    """Return what `pack` took apart."""
    body = artifact.body
    settings = NetworkSettings(**{**body["network"], "tags": tuple(body["network"]["tags"])})
    network = restored(lambda: TagNetwork(settings), body["network"], artifact.tensors)
    words, characters = vocabulary_from_dict(body["words"]), vocabulary_from_dict(body["characters"])
    if not isinstance(words, WordVocabulary) or not isinstance(characters, CharacterVocabulary):
        raise TypeError("its vocabularies are of another kind")
    tagger = Tagger(network, Words(words, characters, body["longest"]))
    return Outcome(tagger, run_from(body["run"]), scores_from(body["scores"]), summary_from(body["summary"]))
