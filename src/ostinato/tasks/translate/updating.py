"""New pairs for a translator that is there: read with its vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ostinato.nn.losses import perplexity
from ostinato.tasks.translate.batches import TranslationBatches, TranslationObjective
from ostinato.tasks.translate.corpus import encode_pairs, fitting
from ostinato.tasks.translate.fitting import Outcome
from ostinato.tasks.translate.network import TranslationNetwork
from ostinato.tasks.translate.pairs import Pairs, name_of, read_pairs
from ostinato.tasks.updating import TEST, NewRows, check_rows, drawn
from ostinato.training import mean_loss


def new_pairs(parameters: Mapping[str, Any], fitted: Outcome, data: Pairs) -> NewRows[Outcome]:
    """Return pairs as a fitted model reads them, some held out by chance.

    Raises:
        DataError: they cannot be read, or are too few.
    """
    languages, source = fitted.languages, name_of(data)
    pairs = [pair for pair in read_pairs(data, parameters["columns"]) if pair[1]]
    chosen = ([pairs[row] for row in rows.tolist()] for rows in drawn(len(pairs), parameters["seed"]))
    train, validation, test = (
        fitting(encode_pairs(own, languages.source, languages.target), parameters)[0] for own in chosen
    )
    check_rows({"train": len(train), "validation": len(validation), "test": len(test)}, source, "pairs")
    tokens = parameters["batch_tokens"]
    objective = TranslationObjective(parameters["label_smoothing"])
    held_out = TranslationBatches(test, batch_tokens=tokens, shuffle=False)

    def measures(own: Outcome) -> Mapping[str, float]:
        network = own.languages.network
        return {"perplexity": perplexity(mean_loss(network, lambda d, c: objective(network, d, c), held_out))}

    return NewRows(
        network=languages.network,
        objective=lambda _: objective,
        train=TranslationBatches(
            train, batch_tokens=tokens, given=parameters["teacher_forcing"], seed=parameters["seed"]
        ),
        validation=TranslationBatches(validation, batch_tokens=tokens, shuffle=False),
        test=held_out,
        renew=lambda network: _renewed(fitted, network),
        measures=measures,
        better={"perplexity": "lower"},
        source=source,
        split=f"{100 * TEST:.0f} % of {source}, drawn, {len(test):,} pairs",
        kept="the vocabularies and the dictionary",
    )


def _renewed(fitted: Outcome, network: TranslationNetwork) -> Outcome:
    return replace(fitted, languages=replace(fitted.languages, network=network), failure=None)
