"""The summary of a fit: scores beside baselines, the data in words, the panels of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.nn.losses import bits_per_character, perplexity
from ostinato.tasks.language.corpus import Corpus, Texts
from ostinato.tasks.language.evaluation import LanguageScores
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.panels import panels
from ostinato.tasks.base.summary import Summary, history_rows, in_words, whole_seconds
from ostinato.training import History


def summarise(
    parameters: Mapping[str, Any],
    data: Texts,
    corpus: Corpus,
    network: LanguageNetwork,
    history: History,
    scores: LanguageScores | None,
    losses: NDArray[np.float64],
    seconds: float,
) -> Summary:
    """Return what there is to see of a fit; `losses` are of the test part's tokens, none if it has none."""
    return Summary(
        title=f"Language model of {source(data)}",
        task="language model",
        settings=in_words(parameters),
        parameters=sum(weight.numel() for weight in network.parameters()),
        seconds=whole_seconds(seconds, history),
        data=_data(parameters, data, corpus, scores),
        history=history_rows(history),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        protocol="" if scores is None else f"{scores.protocol}; {scores.tokens:,} tokens",
        scores={} if scores is None else {name: measures(loss) for name, loss in scores.losses.items()},
        better={"nats": "lower", "bits": "lower", "perplexity": "lower"},
        verdict=verdict(scores),
        panels=tuple(panels(network, corpus, parameters["level"], losses, parameters["seed"])),
    )


def measures(loss: float) -> dict[str, float]:
    """Return a mean loss as it is usually told, all of them a token."""
    return {"nats": loss, "bits": bits_per_character(loss), "perplexity": perplexity(loss)}


def verdict(scores: LanguageScores | None) -> str:
    """Return one sentence for a reader in a hurry."""
    if scores is None:
        return "Nothing was held out to test it on: give test=0.05, or a text for the test."
    counts = {name: loss for name, loss in scores.losses.items() if name != "model"}
    best = min(counts, key=counts.__getitem__)
    own = f"The model foretells a token with a perplexity of {scores.perplexity:.4g}"
    other = f"that of the best model that only counts ({best}) is {perplexity(counts[best]):.4g}"
    if scores.losses["model"] < counts[best]:
        return f"{own}; {other}."
    return f"{own}, which counting does better: {other}. Train longer, or give more text."


def source(data: Texts) -> str:
    """Return what a text is called."""
    return Path(data).name if isinstance(data, (str, Path)) else "texts in memory"


def _data(
    parameters: Mapping[str, Any], data: Texts, corpus: Corpus, scores: LanguageScores | None
) -> tuple[tuple[str, str], ...]:
    parts = (("train", corpus.train), ("validation", corpus.validation), ("test", corpus.test))
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in parts)
    rows = [("source", source(data)), ("tokens", f"{sizes} ({parameters['level']}s)")]
    rows.append(("vocabulary", f"{len(corpus.vocabulary):,} tokens"))
    if scores is not None:
        rows.append(("unknown in the test", f"{100 * scores.unknown:.2f} %"))
    return (*rows, ("fingerprint", corpus.fingerprint))
