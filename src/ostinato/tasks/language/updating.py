"""New text for a language model that is there: read with its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ostinato.errors import DataError
from ostinato.tasks.language.batches import LanguageObjective, corpus_batches
from ostinato.tasks.language.corpus import Texts, encode_parts
from ostinato.tasks.language.evaluation import corpus_loss
from ostinato.tasks.language.fitting import VALIDATION_ROWS, Outcome
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.summarising import measures, source
from ostinato.tasks.updating import TEST, VALIDATION, NewRows


def new_text(parameters: Mapping[str, Any], fitted: Outcome, data: Texts) -> NewRows[Outcome]:
    """Return a text as a fitted model reads it, its end held out.

    Raises:
        DataError: it cannot be read, or is too short.
    """
    vocabulary, steps = fitted.vocabulary, parameters["steps"]
    train, validation, test = encode_parts(
        data, vocabulary, parameters["level"], {"validation": VALIDATION, "test": TEST}
    )
    if min(map(len, (train, validation, test))) < 2:
        raise DataError(
            f"{source(data)} has {len(train) + len(validation) + len(test)} tokens, too few for an update, which "
            "learns from some and compares on others; give more text"
        )
    objective = LanguageObjective(parameters["activation_penalty"], parameters["slowness_penalty"])
    unknown = float((test == vocabulary.specials.unk).mean())
    return NewRows(
        network=fitted.network,
        objective=lambda _: objective,
        train=corpus_batches(
            train, batch_size=parameters["batch_size"], steps=steps, jitter=parameters["jitter"],
            seed=parameters["seed"],
        ),
        validation=corpus_batches(validation, batch_size=VALIDATION_ROWS, steps=4 * steps),
        test=corpus_batches(test, batch_size=1, steps=4 * steps),
        renew=lambda network: _renewed(fitted, network),
        measures=lambda own: measures(corpus_loss(own.network, test)),
        better={"nats": "lower", "bits": "lower", "perplexity": "lower"},
        source=source(data),
        split=f"the last {100 * TEST:.0f} % of {source(data)}, {len(test) - 1:,} tokens",
        kept=f"the vocabulary, which lacks {100 * unknown:.1f} % of the new tokens",
    )  # fmt: skip


def _renewed(fitted: Outcome, network: LanguageNetwork) -> Outcome:
    return replace(fitted, network=network, scores=None, failure=None)
