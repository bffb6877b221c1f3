"""New sentences for a tagger that is there: read with its words and tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ostinato.tasks.base.summary import Better
from ostinato.tasks.tag.batches import TagObjective
from ostinato.tasks.tag.constraints import possible
from ostinato.tasks.tag.corpus import Tagged, read_sentences
from ostinato.tasks.tag.evaluation import Judge, score_tags
from ostinato.tasks.tag.fitting import Outcome, class_weight, sentence_batches
from ostinato.tasks.tag.network import TagNetwork
from ostinato.tasks.updating import NewRows, check_rows, cut, last_share

_BETTER: dict[str, Better] = {"accuracy": "higher", "span F1": "higher"}


def new_sentences(parameters: Mapping[str, Any], fitted: Outcome, data: Tagged) -> NewRows[Outcome]:
    """Return tagged sentences as a fitted model reads them, the last ones held out.

    Raises:
        DataError: they cannot be read, or are too few.
    """
    tagger = fitted.tagger
    sentences = read_sentences(parameters, data)
    source = Path(data).name if isinstance(data, (str, Path)) else "the sentences"
    index = {name: number for number, name in enumerate(tagger.names)}
    parts = dict(zip(("train", "validation", "test"), (sentences[own] for own in cut(len(sentences))), strict=True))
    # a likelihood is not defined for tags that the model cannot give
    known = {name: [own for own in part if possible(own, index, tagger.network.crf)] for name, part in parts.items()}
    check_rows({name: len(part) for name, part in known.items()}, source, "sentences with tags that the model knows")
    size, seed = parameters["batch_size"], parameters["seed"]
    weight = class_weight(parameters, known["train"], index)

    def measures(own: Outcome) -> Mapping[str, float]:
        judge = Judge(parts["test"], own.tagger.names, own.tagger.words)
        tags = own.tagger.read([sentence.tokens for sentence in parts["test"]])
        return score_tags(judge, tags, split="").values["model"]

    return NewRows(
        network=tagger.network,
        objective=lambda _: TagObjective(weight),
        train=sentence_batches(tagger, known["train"], size, seed, shuffle=True),
        validation=sentence_batches(tagger, known["validation"], 64, seed, shuffle=False),
        test=sentence_batches(tagger, known["test"], 64, seed, shuffle=False),
        renew=lambda network: _renewed(fitted, network),
        measures=measures,
        better=_BETTER,
        source=source,
        split=last_share(source, len(parts["test"]), "sentences"),
        kept="the words and tags that are known",
    )


def _renewed(fitted: Outcome, network: TagNetwork) -> Outcome:
    return replace(fitted, tagger=replace(fitted.tagger, network=network), scores=None)
