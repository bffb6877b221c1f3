"""What is a language model's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from ostinato.data.text import ChunkedCorpus, read_lines
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.tasks.base.counting import FollowerCounts, largest_order
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baseline, Baselines, Model, Task
from ostinato.tasks.language.network import LanguageNetwork, LanguageObjective
from ostinato.tasks.language.panels import language_panels
from ostinato.tasks.language.parameters import LanguageParameters
from ostinato.tasks.language.reading import Losses, NGrams, Unigrams, measures, token_losses
from ostinato.tasks.language.stream import LanguageStream
from ostinato.tasks.language.texts import LanguageEncoder, Texts, Tokens, hold_out_end, read_texts

Language: TypeAlias = "Model[LanguageParameters, LanguageEncoder]"
_ROWS = 10  # of a text that is only read
_LETTERS = 4  # of a subword, about


class LanguageTask(Task[LanguageParameters, Texts, LanguageEncoder, Tokens, Losses]):
    """Texts, token by token."""

    records = "texts"
    higher = frozenset()
    decides = ("nats",)
    encoder_type = LanguageEncoder
    baseline_types = (NGrams, Unigrams)
    kept = "the vocabulary"

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

    def title(self, records: Texts) -> str:
        return f"Language model of {records.origin}"

    def steps_an_epoch(self, parameters: LanguageParameters, train: Texts) -> int:
        whole = sum(map(len, train.pieces))
        if parameters.level == "word":
            whole = sum(1 + piece.count(" ") for piece in train.pieces)
        tokens = whole // _LETTERS if parameters.level == "subword" else whole
        return max(1, tokens // (parameters.batch_size * parameters.steps))

    def encoder(self, parameters: LanguageParameters, train: Texts) -> LanguageEncoder:
        return LanguageEncoder.fit(parameters, train)

    def network(self, parameters: LanguageParameters, encoder: LanguageEncoder, train: Texts | None) -> nn.Module:
        return LanguageNetwork(parameters, encoder)

    def encode(self, model: Language, records: Texts) -> Tokens:
        return model.encoder.encode(records)

    def batches(self, model: Language, examples: Tokens, *, training: bool) -> ChunkedCorpus | None:
        own, tokens = model.parameters, examples.numbers
        if len(tokens) < 2:
            if training:
                raise DataError(f"there are {len(tokens)} tokens to train on; give more text, or hold less of it out")
            return None
        rows = max(1, min(own.batch_size if training else _ROWS, len(examples) // 2))
        if not training:
            return ChunkedCorpus(tokens, batch_size=rows, steps=4 * own.steps)
        return ChunkedCorpus(tokens, batch_size=rows, steps=own.steps, varied=own.jitter, seed=own.seed)

    def objective(self, model: Language, train: Tokens) -> LanguageObjective:
        own = model.parameters
        return LanguageObjective(own.activation_regularization, own.temporal_activation_regularization)

    def predict(self, model: Language, examples: Tokens) -> Losses:
        return token_losses(model.network, examples.numbers)

    def baselines(self, model: Language, train: Tokens, validation: Tokens | None) -> Baselines:
        size = len(model.encoder.vocabulary)

        def n_grams(order: int) -> NGrams:
            return NGrams(FollowerCounts.of([np.asarray(train.numbers, np.int64)], size, order=order))

        orders = sorted({1, largest_order(size, size, 4)}, reverse=True)
        found: dict[str, Callable[[], Baseline]] = {
            f"{order + 1}-gram, Witten-Bell": partial(n_grams, order) for order in orders
        }
        return {**found, "unigram": lambda: Unigrams(np.bincount(train.numbers, minlength=size))}

    def measures(self, model: Language, examples: Tokens, predicted: Losses) -> dict[str, float]:
        return measures(predicted)

    def counted(self, model: Language, examples: Tokens) -> tuple[int, str]:
        return len(examples), "tokens"

    def details(self, model: Language, examples: Tokens, predicted: Mapping[str, Losses]) -> Mapping[str, Any]:
        return {"unknown": unknown_share(model, examples)}

    def facts(self, model: Language, parts: Held[Texts], examples: Held[Tokens]) -> Iterable[tuple[str, str]]:
        sizes = {name: 0 if own is None else len(own.numbers) for name, own in examples.named().items()}
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
        return LanguageStream(model.network, model.encoder.vocabulary, model.encoder.level)


def unknown_share(model: Language, tokens: Tokens) -> float:
    """Return the share of tokens that the vocabulary does not have; predicting "unknown" counts as right."""
    return float((tokens.numbers[1:] == model.encoder.vocabulary.specials.unk).mean())
