"""One fit, from pairs of texts to a trained network, its vocabularies and its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ostinato.errors import MissingExtra, NonFiniteLoss, UsageError
from ostinato.files import make_folder
from ostinato.tasks.base.summary import Summary
from ostinato.tasks.translate.batches import TranslationBatches, TranslationObjective
from ostinato.tasks.translate.corpus import Corpus, read_corpus
from ostinato.tasks.translate.dictionary import learn_dictionary
from ostinato.tasks.translate.network import NetworkSettings, TranslationNetwork, check_settings
from ostinato.tasks.translate.pairs import Pairs
from ostinato.tasks.translate.scoring import Judged, judge
from ostinato.tasks.translate.search import Search
from ostinato.tasks.translate.seeing import summarise
from ostinato.tasks.translate.translating import Languages
from ostinato.training import History, TrainingConfig, train


@dataclass(frozen=True)
class Outcome:
    """What a fit gives; `failure` is set when training broke off but left good weights."""

    languages: Languages
    dictionary: Mapping[str, str]
    history: History
    summary: Summary
    failure: NonFiniteLoss | None


def fit_translator(
    parameters: Mapping[str, Any],
    data: Pairs,
    validation: Pairs | None,
    test: Pairs | None,
    directory: Path | None,
    resume: bool,
) -> Outcome:
    """Read pairs, train on them, evaluate on what was held out. `parameters` are those of `Translator`, by name."""
    began = time.perf_counter()
    config, search = TrainingConfig.of(parameters), search_of(parameters)
    _check(parameters)
    corpus = read_corpus(parameters, data, validation, test)
    settings = _settings(parameters, corpus)
    check_settings(settings)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = TranslationNetwork(settings)
    if directory is not None:
        make_folder(directory)
    history, failure = _train(network, corpus, config, parameters, directory, resume)
    network.eval()
    longest = max(100, 2 * corpus.longest)
    languages = Languages(network, corpus.source, corpus.target, longest, parameters["copy_unknown"])
    dictionary = learn_dictionary(corpus.train_pairs)
    judged = _judged(languages, corpus, dictionary, search)
    seconds = time.perf_counter() - began
    return Outcome(
        languages, dictionary, history, summarise(parameters, languages, corpus, history, judged, seconds), failure
    )


def search_of(parameters: Mapping[str, Any]) -> Search:
    """Return how translations are searched for, from an estimator's parameters.

    Raises:
        UsageError: a setting is out of range.
    """
    return Search(**{own: parameters[own] for own in ("beam_size", "length_penalty", "coverage_penalty")})


def _check(parameters: Mapping[str, Any]) -> None:
    if not 0 < parameters["teacher_forcing"] <= 1:
        raise UsageError(f"teacher_forcing is {parameters['teacher_forcing']}; expected a share above 0, up to 1")
    if not 0 <= parameters["label_smoothing"] < 1:
        raise UsageError(f"label_smoothing is {parameters['label_smoothing']}; expected a share from 0 to 1")
    if parameters["batch_tokens"] < 1:
        raise UsageError(f"batch_tokens is {parameters['batch_tokens']}; expected one or more")


def _settings(parameters: Mapping[str, Any], corpus: Corpus) -> NetworkSettings:
    own = {one.name: parameters[one.name] for one in fields(NetworkSettings) if one.name in parameters}
    own["embedding_size"] = parameters["embedding_size"] or parameters["hidden_size"]
    sizes = {"source_size": len(corpus.source), "target_size": len(corpus.target)}
    return NetworkSettings(**{**own, **sizes, "shared": parameters["shared_vocabulary"]})


def _train(
    network: TranslationNetwork,
    corpus: Corpus,
    config: TrainingConfig,
    parameters: Mapping[str, Any],
    directory: Path | None,
    resume: bool,
) -> tuple[History, NonFiniteLoss | None]:
    tokens = parameters["batch_tokens"]
    batches = TranslationBatches(
        corpus.train, batch_tokens=tokens, given=parameters["teacher_forcing"], epochs=config.epochs, seed=config.seed
    )
    held_out = None
    if len(corpus.validation):
        held_out = TranslationBatches(corpus.validation, batch_tokens=tokens, shuffle=False)
    objective = TranslationObjective(parameters["label_smoothing"])
    try:
        history = train(
            network, objective, batches, held_out, config,
            directory=directory, resume=resume, fingerprint=corpus.fingerprint,
        )  # fmt: skip
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        return error.history, error
    return history, None


def _judged(languages: Languages, corpus: Corpus, dictionary: Mapping[str, str], search: Search) -> Judged | None:
    """Judge on the test part; without sacrebleu by likelihood alone, so that a long fit is not lost."""
    if not corpus.test_pairs:
        return None
    try:
        return judge(languages, corpus.test_pairs, dictionary, search, corpus.protocol)
    except MissingExtra:
        return judge(languages, corpus.test_pairs, dictionary, search, corpus.protocol, tokenize=None)
