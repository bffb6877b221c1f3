"""One fit, from tagged sentences to a trained network, its words, its scores and its summary."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.data.text import TaggedSentence
from ostinato.errors import DataError, UsageError
from ostinato.nn.losses import class_weights
from ostinato.tasks.base.batches import RowBatches
from ostinato.tasks.running import Run, run_training, summary_of
from ostinato.tasks.scores import Scores
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.tag.batches import TagBatch, TagObjective, tag_batches
from ostinato.tasks.tag.constraints import possible, scheme_for
from ostinato.tasks.tag.corpus import NOTHING, Corpus, Tagged, Words, build_words, numbered_tags, read_corpus, tags_of
from ostinato.tasks.tag.evaluation import Judge, score_tags
from ostinato.tasks.tag.network import NetworkSettings, TagNetwork, check_settings
from ostinato.tasks.tag.panels import described, tag_panels
from ostinato.tasks.tag.prediction import Tagger
from ostinato.tasks.tag.vectors import Vectors, leading_words, vectors_for
from ostinato.training import TrainingConfig


@dataclass(frozen=True)
class Outcome:
    """What a fit gives."""

    tagger: Tagger
    run: Run
    scores: Scores | None
    summary: Summary


def fit_tagger(
    parameters: Mapping[str, Any],
    data: Tagged,
    validation: Tagged | None,
    test: Tagged | None,
    directory: Path | None,
    resume: bool,
) -> Outcome:
    """Read sentences, train on them, evaluate on what was held out; `parameters` are those of `SequenceTagger`."""
    began = time.monotonic()
    config = TrainingConfig.of(parameters)
    corpus = read_corpus(parameters, data, validation, test)
    file = parameters["vectors"]
    more = leading_words(file, parameters["vector_words"]) if file else ()
    words = build_words(parameters, corpus.train, more)
    vectors = vectors_for(file, words) if file else None
    tagger = make_tagger(parameters, corpus, words, vectors, config.seed)
    run = _train(parameters, tagger, corpus, config, directory, resume)
    tags = tagger.read([sentence.tokens for sentence in corpus.test])
    scores = None
    if corpus.test:
        judge = Judge(corpus.test, tagger.names, words)
        scores = score_tags(judge, tags, split=corpus.protocol, train=[*corpus.train, *_known(corpus, tagger.names)])
    own = described(corpus, tagger) + (() if vectors is None else (("vectors", vectors.said),))
    summary = summary_of(
        f"Tags of {corpus.origin}", "sequence tagger", parameters, tagger.network, run, scores,
        measure="span F1" if scores and "span F1" in scores.values["model"] else "accuracy",
        seconds=time.monotonic() - began, data=own, panels=tag_panels(tagger, corpus.test, tags),
    )  # fmt: skip
    return Outcome(tagger, run, scores, summary)


def make_tagger(
    parameters: Mapping[str, Any], corpus: Corpus, words: Words, vectors: Vectors | None, seed: int
) -> Tagger:
    """Make what depends on the training sentences, with a network that is not trained.

    Raises:
        UsageError: the settings do not go together.
    """
    names = tags_of(corpus.train)
    scheme = ""
    if parameters["output"] == "crf" and parameters["constraints"]:
        scheme = scheme_for(names, corpus.train)
    own = {field.name: parameters[field.name] for field in fields(NetworkSettings) if field.name in parameters}
    if vectors is not None:
        own["embedding_size"] = vectors.weights.shape[1]
    settings = NetworkSettings(**own, words=len(words.words), letters=len(words.characters), tags=names, scheme=scheme)
    check_settings(settings)
    if settings.freeze_vectors and vectors is None:
        raise UsageError("freeze_vectors is for pretrained vectors; pass vectors=..., or leave it out")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TagNetwork(settings)
        if vectors is not None:
            vectors.put_into(network.embedding)
    return Tagger(network, words)


def _train(
    parameters: Mapping[str, Any],
    tagger: Tagger,
    corpus: Corpus,
    config: TrainingConfig,
    directory: Path | None,
    resume: bool,
) -> Run:
    index = {name: number for number, name in enumerate(tagger.names)}
    batches = sentence_batches(tagger, corpus.train, parameters["batch_size"], config.seed, shuffle=True)
    # a likelihood is not defined for tags that the model cannot give
    known = [own for own in corpus.validation if possible(own, index, tagger.network.crf)]
    if corpus.validation and not known:
        raise DataError(
            "no sentence to validate on has only tags that are known from training; give other ones, or train on more"
        )
    held_out = sentence_batches(tagger, known, 64, config.seed, shuffle=False) if known else None
    weight = class_weight(parameters, corpus.train, index)
    return run_training(
        tagger.network, TagObjective(weight), batches, held_out, config,
        directory=directory, resume=resume, fingerprint=corpus.fingerprint,
    )  # fmt: skip


def sentence_batches(
    tagger: Tagger, sentences: Sequence[TaggedSentence], batch_size: int, seed: int, *, shuffle: bool
) -> RowBatches[TagBatch]:
    """Return tagged sentences in batches; a tag that the tagger does not know counts for nothing."""
    index = {name: number for number, name in enumerate(tagger.names)}
    tags = [numbered_tags(sentence, index) for sentence in sentences]
    tags = [np.where(own == len(index), NOTHING, own) for own in tags]
    tokens = [sentence.tokens for sentence in sentences]
    return tag_batches(tagger.words, tokens, tags, batch_size=batch_size, shuffle=shuffle, seed=seed)


def class_weight(
    parameters: Mapping[str, Any], sentences: Sequence[TaggedSentence], index: Mapping[str, int]
) -> Tensor | None:
    """Return how much each tag counts in the loss, as the parameters say; `None`: all alike."""
    scheme = parameters["class_weights"]
    if scheme == "none":
        return None
    if parameters["output"] == "crf":
        raise UsageError("class_weights are for the softmax; a CRF judges whole sentences: leave them at none")
    counts = np.bincount(np.concatenate([numbered_tags(own, index) for own in sentences]), minlength=len(index))
    return class_weights(torch.from_numpy(counts), scheme)


def _known(corpus: Corpus, names: tuple[str, ...]) -> list[TaggedSentence]:
    """Return the sentences of the validation part whose tags the model knows, for the baselines to count too."""
    return [sentence for sentence in corpus.validation if set(sentence.tags) <= set(names)]
