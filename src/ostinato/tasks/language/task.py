"""What is a language model's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from ostinato.data.text import ChunkedCorpus, read_lines
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.language.continuing import LanguageContinuation
from ostinato.tasks.language.mixing import Gate, fit_gate
from ostinato.tasks.language.network import LanguageNetwork, LanguageObjective
from ostinato.tasks.language.panels import language_panels
from ostinato.tasks.language.parameters import LanguageParameters
from ostinato.tasks.language.rare import RareAsUnknown, came_once
from ostinato.tasks.language.reading import Losses, NGrams, Unigrams, loss_units, measures, read_for_gate, token_losses
from ostinato.tasks.language.stream import LanguageStream
from ostinato.tasks.language.suiting import suited_rows, ties_weights
from ostinato.tasks.language.texts import (
    LanguageEncoder,
    Texts,
    Tokens,
    best_order,
    count_ngrams,
    hold_out_end,
    read_texts,
)
from ostinato.training.config import TrainingConfig
from ostinato.training.objective import BatchSource

Language: TypeAlias = "Model[LanguageParameters, LanguageEncoder]"
_ROWS = 10  # of a text that is only read
_LONG = 40  # characters of a line that does not come again by chance
_GATE = 50_000
"""Tokens of the validation text that a gate is fitted on, at most."""
_RECOUNTED = 2_000_000  # tokens of a training text, at most
_LETTERS = 4  # of a subword, about


class LanguageTask(Task[LanguageParameters, Texts, LanguageEncoder, Tokens, Losses]):
    """Texts, token by token."""

    records = "texts"
    content_name = "lines"
    higher = frozenset()
    decides = ("nats",)
    encoder_type = LanguageEncoder
    baseline_types = (NGrams, Unigrams)
    suited = Suited(steps=3000, least=1, most=15)
    kept = "the vocabulary and the n-grams"

    def check(self, parameters: LanguageParameters, *, tested: bool) -> None:
        if parameters.weight_drop and parameters.cell == TRANSFORMER:
            raise UsageError("weight_drop is for recurrent weights; a transformer has none: leave it at 0")
        if parameters.output == "adaptive" and parameters.tie_weights:
            raise UsageError(
                "tie_weights needs a matrix with a row for each token, which an adaptive softmax has not; leave it "
                'out, or choose output="sampled"'
            )

    def read(
        self,
        parameters: LanguageParameters,
        source: Any,
        reading: Any = None,
        *,
        labelled: bool = True,
    ) -> Texts:
        return read_texts(source, parameters.level)

    def hold_out(self, parameters: LanguageParameters, records: Texts, shares: Shares) -> Held[Texts]:
        return hold_out_end(records, shares)

    def contents(self, records: Texts) -> Iterable[str]:
        """Return the long lines: short ones come again by chance."""
        lines = (line for piece in records.pieces for line in piece.splitlines())
        return (line for line in lines if len(line) >= _LONG)

    def title(self, records: Texts) -> str:
        return f"Language model of {records.origin}"

    def config(self, parameters: LanguageParameters, train: Texts) -> TrainingConfig:
        """Return the settings; where the time is said, and not the passes, all of it is used."""
        if parameters.epochs is None and parameters.max_seconds is not None:
            return TrainingConfig.of(parameters, epochs=self.suited.most)
        return super().config(parameters, train)

    def steps_an_epoch(self, parameters: LanguageParameters, train: Texts) -> int:
        whole = sum(map(len, train.pieces))
        if parameters.level == "word":
            whole = sum(1 + piece.count(" ") for piece in train.pieces)
        tokens = whole // _LETTERS if parameters.level == "subword" else whole
        return max(1, tokens // (suited_rows(parameters, tokens) * parameters.steps))

    def encoder(self, parameters: LanguageParameters, train: Texts) -> LanguageEncoder:
        return LanguageEncoder.fit(parameters, train)

    def network(self, parameters: LanguageParameters, encoder: LanguageEncoder, train: Texts | None) -> nn.Module:
        return LanguageNetwork(parameters, encoder)

    def encode(self, model: Language, records: Texts) -> Tokens:
        return model.encoder.encode(records)

    def batches(self, model: Language, examples: Tokens, *, training: bool) -> BatchSource | None:
        parameters, tokens = model.parameters, examples.numbers
        if len(tokens) < 2:
            if training:
                raise DataError(f"there are {len(tokens)} tokens to train on; give more text, or hold less of it out")
            return None
        rows = max(1, min(suited_rows(parameters, len(tokens)) if training else _ROWS, len(examples) // 2))
        if not training:
            return ChunkedCorpus(tokens, batch_size=rows, steps=4 * parameters.steps)
        unknown = model.encoder.vocabulary.specials.unk
        once = came_once(tokens, unknown)
        options: dict[str, Any] = {"batch_size": rows, "steps": parameters.steps, "jitter": parameters.jitter}
        if once is None:
            return ChunkedCorpus(tokens, seed=parameters.seed, **options)
        return RareAsUnknown(tokens, once, unknown, seed=parameters.seed, **options)

    def objective(self, model: Language, train: Tokens) -> LanguageObjective:
        parameters = model.parameters
        return LanguageObjective(parameters.activation_regularization, parameters.temporal_activation_regularization)

    def calibrate(self, model: Language, validation: Tokens | None) -> LanguageEncoder:
        """Choose the order of the n-grams, and fit the gate, on text that neither they nor the network have counted."""
        encoder, held_out = model.encoder, None if validation is None else validation.numbers
        ngrams = encoder.ngrams if encoder.counted is None else best_order(encoder.counted, held_out)
        if ngrams is None:
            return encoder
        gate = Gate.even(ngrams.order)
        if held_out is not None and len(held_out) > 1:
            gate = fit_gate(*read_for_gate(model.network, ngrams, held_out[-_GATE:]))
        return replace(encoder, ngrams=ngrams, gate=gate, counted=None)

    def finished(self, model: Language, examples: Held[Tokens]) -> LanguageEncoder:
        """Choose order and gate on the validation text, and then count its n-grams too: often it is what comes last.

        Not of a very long text, of which little is new in it, and which takes its time to count.
        """
        encoder, held = self.calibrate(model, examples.validation), examples.validation
        if encoder.ngrams is None or held is None or not len(held.numbers) or len(examples.train) > _RECOUNTED:
            return encoder
        whole = np.concatenate([examples.train.numbers, held.numbers])
        counted = count_ngrams(encoder.vocabulary, encoder.level, whole, model.parameters.max_seconds)
        return replace(encoder, ngrams=counted.of_order(encoder.ngrams.order))

    def predict(self, model: Language, examples: Tokens) -> Losses:
        return token_losses(model.network, examples.numbers, mixture=model.encoder.mixture)

    def baselines(self, model: Language, train: Tokens, validation: Tokens | None) -> Baselines:
        encoder = model.encoder

        def n_grams() -> NGrams:
            if encoder.ngrams is not None:
                return NGrams(encoder.ngrams)
            counted = count_ngrams(encoder.vocabulary, encoder.level, train.numbers, model.parameters.max_seconds)
            return NGrams(best_order(counted, None if validation is None else validation.numbers))

        size = len(encoder.vocabulary)
        return {
            "n-gram, Kneser-Ney": n_grams,
            "unigram": lambda: Unigrams(np.bincount(train.numbers, minlength=size)),
        }

    def measures(self, model: Language, examples: Tokens, predicted: Losses) -> dict[str, float]:
        return measures(predicted)

    def units(self, model: Language, examples: Tokens, predicted: Losses) -> Units:
        return loss_units(predicted)

    def counted(self, model: Language, examples: Tokens) -> tuple[int, str]:
        return len(examples), "tokens"

    def protocol(self, model: Language, examples: Tokens) -> str:
        """Say how many tokens are unknown: predicting "unknown" counts as right, so that a loss means little alone."""
        of = f"{model.encoder.level}s"
        return f"{100 * unknown_share(model, examples):.3g} % of the {of} unknown in training"

    def step_unit(self, model: Language) -> StepUnit:
        return StepUnit("tokens")

    def settings(self, model: Language) -> Mapping[str, Any]:
        parameters, encoder = model.parameters, model.encoder
        found: dict[str, Any] = {
            "tie_weights": ties_weights(parameters),
            "output": encoder.output,
        }
        found |= {"dropout": encoder.dropout, "input_dropout": encoder.input_dropout}
        if encoder.counts is not None:
            found["batch_size"] = suited_rows(parameters, int(encoder.counts.sum()))
        if encoder.ngrams is not None:
            size = f"{encoder.ngrams.size:,} of up to {encoder.ngrams.order} {encoder.level}s"
            found["ngrams"] = f"{size}, with the network by a learned gate"
        return found

    def details(self, model: Language, examples: Tokens, predicted: Mapping[str, Losses]) -> Mapping[str, Any]:
        return {"unknown": unknown_share(model, examples)}

    def facts(self, model: Language, parts: Held[Texts], examples: Held[Tokens]) -> Iterable[tuple[str, str]]:
        sizes = {name: 0 if value is None else len(value.numbers) for name, value in examples.named().items()}
        listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        yield "tokens", f"{listed} ({model.encoder.level}s)"
        yield "vocabulary", f"{len(model.encoder.vocabulary):,} tokens"
        if examples.test is not None:
            yield "unknown in the test", f"{100 * unknown_share(model, examples.test):.2f} %"

    def panels(self, model: Language, records: Texts, examples: Tokens, predicted: Losses) -> Iterable[Panel]:
        return language_panels(model, examples.numbers, predicted)

    def pieces(self, model: Language, source: Any) -> Iterator[Texts]:
        """Yield each line by itself, blank ones too."""
        for line in read_lines(source, keep_blank=True) if is_path(source) else source:
            yield Texts("the line", (line,))

    def answers(self, model: Language, records: Texts) -> Iterator[Mapping[str, Any]]:
        stream = self.stream(model)
        for line in records.pieces:
            stream.reset()
            yield stream.push(line)

    def stream(self, model: Language, **options: Any) -> LanguageStream:
        encoder = model.encoder
        return LanguageStream(model.network, encoder.vocabulary, encoder.level, encoder.mixture)

    def continuation(self, model: Language) -> LanguageContinuation:
        return LanguageContinuation(model.network, model.encoder)


def unknown_share(model: Language, tokens: Tokens) -> float:
    """Return the share of tokens that the vocabulary does not have; predicting "unknown" counts as right."""
    return float((tokens.numbers[1:] == model.encoder.vocabulary.specials.unk).mean())
