"""One fit, from texts to a trained network, its vocabulary and its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.text import Vocabulary
from ostinato.errors import NonFiniteLoss
from ostinato.files import make_folder
from ostinato.nn.softmax import adaptive_cutoffs
from ostinato.tasks.language.baselines import largest_order, ngram_loss, unigram_loss
from ostinato.tasks.language.batches import LanguageObjective, corpus_batches
from ostinato.tasks.language.corpus import Corpus, Texts, read_corpus
from ostinato.tasks.language.evaluation import LanguageScores, token_losses
from ostinato.tasks.language.network import LanguageNetwork, NetworkSettings, check_settings
from ostinato.tasks.language.summarising import summarise
from ostinato.tasks.base.summary import Summary
from ostinato.training import History, TrainingConfig, train

VALIDATION_ROWS = 10


@dataclass(frozen=True)
class Outcome:
    """What a fit gives; `failure` is set when training broke off but left good weights."""

    network: LanguageNetwork
    vocabulary: Vocabulary
    history: History
    scores: LanguageScores | None
    summary: Summary
    failure: NonFiniteLoss | None


def fit_language(
    parameters: Mapping[str, Any],
    data: Texts,
    validation: Texts | None,
    test: Texts | None,
    directory: Path | None,
    resume: bool,
) -> Outcome:
    """Read texts, train on them, evaluate on what was held out. `parameters` are those of `LanguageModel`, by name."""
    began = time.monotonic()
    config = TrainingConfig.of(parameters)
    corpus = read_corpus(parameters, data, validation, test)
    counts = np.bincount(corpus.train, minlength=len(corpus.vocabulary))
    settings = _settings(parameters, counts)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = LanguageNetwork(settings, counts)
    steps = settings.steps
    batches = corpus_batches(
        corpus.train, batch_size=parameters["batch_size"], steps=steps, jitter=parameters["jitter"], seed=config.seed
    )
    held_out = None
    if len(corpus.validation) > 1:
        held_out = corpus_batches(corpus.validation, batch_size=VALIDATION_ROWS, steps=4 * steps)
    objective = LanguageObjective(parameters["activation_penalty"], parameters["slowness_penalty"])
    if directory is not None:
        make_folder(directory)
    failure = None
    try:
        history = train(
            network, objective, batches, held_out, config,
            directory=directory, resume=resume, fingerprint=corpus.fingerprint,
        )  # fmt: skip
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        failure, history = error, error.history
    network.eval()
    losses = token_losses(network, corpus.test) if len(corpus.test) > 1 else np.zeros(0)
    scores = _scores(losses, corpus) if len(losses) else None
    seconds = time.monotonic() - began
    summary = summarise(parameters, data, corpus, network, history, scores, losses, seconds)
    return Outcome(network, corpus.vocabulary, history, scores, summary, failure)


def _settings(parameters: Mapping[str, Any], counts: NDArray[np.int64]) -> NetworkSettings:
    own = {field.name: parameters[field.name] for field in fields(NetworkSettings) if field.name in parameters}
    own["embedding_size"] = parameters["embedding_size"] or parameters["hidden_size"]
    settings = NetworkSettings(**{**own, "vocabulary_size": len(counts)})
    check_settings(settings)
    if settings.output != "adaptive":
        return settings
    return replace(settings, cutoffs=adaptive_cutoffs(counts, settings.hidden_size))


def _scores(own: NDArray[np.float64], corpus: Corpus) -> LanguageScores:
    """Score the test part, beside models that count what was trained on."""
    size = len(corpus.vocabulary)
    losses = {"model": float(own.mean())}
    for order in sorted({2, largest_order(size)}, reverse=True):
        losses[f"{order}-gram, Witten-Bell"] = ngram_loss(corpus.train, corpus.test, size, order)
    losses["unigram"] = unigram_loss(corpus.train, corpus.test, size)
    unknown = float((corpus.test[1:] == corpus.vocabulary.specials.unk).mean())
    return LanguageScores(corpus.protocol, len(corpus.test) - 1, unknown, losses)
