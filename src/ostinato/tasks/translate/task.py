"""What is a translator's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import nn

from ostinato.data.text import read_lines
from ostinato.errors import DataError, UsageError
from ostinato.nn.by_name import TRANSFORMER
from ostinato.nn.losses import perplexity
from ostinato.options import values_of
from ostinato.tasks.base.corpus_scores import corpus_parts, corpus_scores, metrics, signatures
from ostinato.tasks.base.holding_out import Held, Shares
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.suited import Suited
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.translate.baselines import Translated, Untranslated, WordForWord
from ostinato.tasks.translate.corpus import (
    Corpus,
    Encoded,
    TranslationBatches,
    TranslationEncoder,
    fitting,
    hold_out_drawn,
)
from ostinato.tasks.translate.mix import Mix
from ostinato.tasks.translate.network import TranslationNetwork
from ostinato.tasks.translate.objective import TranslationObjective
from ostinato.tasks.translate.pairs import name_of, read_pairs
from ostinato.tasks.translate.panels import translation_panels
from ostinato.tasks.translate.parameters import TranslationParameters
from ostinato.tasks.translate.phrases.tuning import some_of, tuned_weights
from ostinato.tasks.translate.stream import TranslationStream
from ostinato.tasks.translate.suiting import batch_tokens_of, judged_pairs, phrase_seconds
from ostinato.tasks.translate.together import Together
from ostinato.tasks.translate.translating import Languages, Strange
from ostinato.training.config import TrainingConfig
from ostinato.words import counted

Translation: TypeAlias = "Model[TranslationParameters, TranslationEncoder]"
_PIECES = 1.5  # of a word, about
_TOGETHER, _TOKENS = 64, 4096


class TranslationTask(Task[TranslationParameters, Corpus, TranslationEncoder, Encoded, Translated]):
    """Pairs of a text and its translation."""

    records = "pairs"
    content_name = "sources"
    higher = frozenset({"BLEU", "chrF"})
    decides = ("BLEU", "perplexity")
    encoder_type = TranslationEncoder
    baseline_types = (WordForWord, Untranslated)
    suited = Suited(steps=3000, least=3, most=30)
    kept = "the vocabularies, the phrases and the dictionary"

    def check(self, parameters: TranslationParameters, *, tested: bool) -> None:
        given = parameters
        if given.cell == TRANSFORMER:
            if given.embedding_size is not None and given.embedding_size != given.hidden_size:
                raise UsageError("a transformer's embedding_size is its hidden_size; leave embedding_size out")
            if given.input_feeding or given.reading != "after":
                raise UsageError(
                    "input_feeding and reading are of recurrent decoders; leave them out for a transformer"
                )
        elif given.hidden_size is not None and given.hidden_size % 2:
            raise UsageError(f"hidden_size is {given.hidden_size}; expected an even number, half for each direction")

    def joined(self, data: Any, labels: Any) -> Any:
        if is_path(data) and is_path(labels):
            return data, labels
        if len(data) != len(labels):
            raise DataError(f"there are {len(data)} sources but {len(labels)} translations; expected one for each")
        return list(zip(data, labels, strict=True))

    def read(
        self,
        parameters: TranslationParameters,
        source: Any,
        reading: Any = None,
        *,
        labelled: bool = True,
    ) -> Corpus:
        if isinstance(source, Corpus):
            return source
        whole = Corpus(name_of(source), tuple(read_pairs(source, parameters.columns)))
        # of training data, pairs without a translation are left out once parts are held out by share
        return whole if reading is None else whole.take(range(len(whole)))

    def reading(self, records: Corpus) -> bool:
        """Return that these are not the training data."""
        return True

    def hold_out(self, parameters: TranslationParameters, records: Corpus, shares: Shares) -> Held[Corpus]:
        return hold_out_drawn(parameters, records, shares)

    def contents(self, records: Corpus) -> Iterable[str]:
        return (source for source, _ in records.pairs)

    def title(self, records: Corpus) -> str:
        return f"Translation of {records.origin}"

    def config(self, parameters: TranslationParameters, train: Corpus) -> TrainingConfig:
        """Return the settings; where the time is said, and not the passes, all that phrases do not take is used."""
        given, limit = parameters, parameters.max_seconds
        if limit is None:
            return super().config(given, train)
        if given.phrases:
            limit -= phrase_seconds(train.links, limit)
        return TrainingConfig.of(given, epochs=given.epochs or self.suited.most, max_seconds=limit)

    def steps_an_epoch(self, parameters: TranslationParameters, train: Corpus) -> int:
        given = parameters
        sides = (
            [text.count(" ") + 1 if given.level != "character" else len(text) for text in one] for one in train.pairs
        )
        longer = sum(map(max, sides)) * (_PIECES if given.level == "subword" else 1.0)
        return max(1, round(longer / batch_tokens_of(given, len(train))))

    def encoder(self, parameters: TranslationParameters, train: Corpus) -> TranslationEncoder:
        return TranslationEncoder.fit(parameters, train)

    def network(
        self,
        parameters: TranslationParameters,
        encoder: TranslationEncoder,
        train: Corpus | None,
    ) -> nn.Module:
        decided = {"hidden_size": encoder.hidden_size, "dropout": encoder.dropout}
        sized = type(parameters)(**{**values_of(parameters), **decided})
        return TranslationNetwork(sized, len(encoder.source), len(encoder.written))

    def encode(self, model: Translation, records: Corpus) -> Encoded:
        return model.encoder.encode(records)

    def batches(self, model: Translation, examples: Encoded, *, training: bool) -> TranslationBatches | None:
        parameters = model.parameters
        if not training:
            return TranslationBatches(examples, batch_tokens=_TOKENS, shuffle=False)
        train, _ = fitting(examples, parameters)
        size = batch_tokens_of(parameters, len(examples))
        return TranslationBatches(
            train,
            batch_tokens=size,
            given=parameters.teacher_forcing,
            epochs=parameters.epochs or 1,
            seed=parameters.seed,
        )

    def objective(self, model: Translation, train: Encoded) -> TranslationObjective:
        return TranslationObjective(model.parameters.label_smoothing)

    def calibrate(self, model: Translation, validation: Encoded | None) -> TranslationEncoder:
        """Choose the weights of phrases, and how they are mixed with the network, on pairs that neither has seen."""
        encoder, parameters = model.encoder, model.parameters
        if encoder.phrases is None or validation is None:
            return encoder
        some = some_of(validation.pairs, judged_pairs(parameters.max_seconds))
        pairs = [encoder.numbers.pair_as(source, target) for source, target in some]
        weights = tuned_weights(encoder.phrases, pairs, encoder.numbers)
        both = Together(languages_of(model), encoder.phrases, weights, numbers=encoder.numbers)
        return replace(encoder, weights=weights, mix=both.fitted(pairs, search_of(parameters)))

    def finished(self, model: Translation, examples: Held[Encoded]) -> TranslationEncoder:
        """Choose weights and mix on the validation part; without one, by how well the network knows the training."""
        encoder = model.encoder
        if encoder.phrases is None or (examples.validation is not None and len(examples.validation)):
            return self.calibrate(model, examples.validation)
        train, _ = fitting(examples.train, model.parameters)
        some = train.take(range(0, len(train), max(1, len(train) // _TOGETHER)))
        return replace(encoder, mix=Mix.by_loss(reference_loss(model.network, some)))

    def predict(self, model: Translation, examples: Encoded) -> Translated:
        if not len(examples):
            raise DataError("there are no pairs to evaluate on; expected one or more with a translation")
        search = search_of(model.parameters)
        found = together_of(model).translate([source for source, _ in examples.pairs], search)
        return Translated([each[0].text for each in found], reference_loss(model.network, examples))

    def baselines(self, model: Translation, train: Encoded, validation: Encoded | None) -> Baselines:
        return {
            "word for word, IBM model 1": lambda: WordForWord.fit(train.pairs),
            "the source as it is": Untranslated,
        }

    def measures(self, model: Translation, examples: Encoded, predicted: Translated) -> dict[str, float]:
        found: dict[str, float] = {}
        counters = self._counters(model)
        if counters is not None:
            found = corpus_scores(counters, predicted.texts, _references(examples))
        if predicted.loss is not None:
            found |= {"loss": predicted.loss, "perplexity": perplexity(predicted.loss)}
        return found

    def units(self, model: Translation, examples: Encoded, predicted: Translated) -> Units | None:
        counters = self._counters(model)
        if counters is None:
            return None
        return Units(len(examples), "sentences", corpus_parts(counters, predicted.texts, _references(examples)))

    def protocol(self, model: Translation, examples: Encoded) -> str:
        size = model.parameters.beam_size
        return f"beam of {size}" if size > 1 else "greedy"

    def details(self, model: Translation, examples: Encoded, predicted: Mapping[str, Translated]) -> Mapping[str, Any]:
        """Say what was counted and how, as sacrebleu writes it."""
        if (counters := self._counters(model)) is None:
            return {}
        return signatures(counters, predicted["model"].texts[0], [examples.pairs[0][1]])

    def remarks(self, values: Mapping[str, Mapping[str, float]], count: int = 0) -> Sequence[str]:
        if "BLEU" in values["model"]:
            return ()
        return ("BLEU was not counted: it needs pip install 'ostinato[translate]'.",)

    def _counters(self, model: Translation) -> tuple[Any, Any] | None:
        lower = bool(getattr(model.encoder.written, "lower", False))
        return metrics(model.parameters.tokenize, lower)

    def settings(self, model: Translation) -> Mapping[str, Any]:
        encoder = model.encoder
        found: dict[str, Any] = {"hidden_size": encoder.hidden_size, "dropout": encoder.dropout}
        if encoder.phrases is None:
            return found
        return found | {
            "phrases": f"{encoder.phrases.size:,} translations of phrases; what is said is chosen by {encoder.mix}"
        }

    def facts(self, model: Translation, parts: Held[Corpus], examples: Held[Encoded]) -> Iterable[tuple[str, str]]:
        parameters, encoder = model.parameters, model.encoder
        yield (
            "pairs",
            " / ".join(f"{0 if part is None else len(part):,} {name}" for name, part in parts.named().items()),
        )
        sources = [set() if part is None else {source for source, _ in part.pairs} for part in parts.named().values()]
        yield "distinct sources", " / ".join(f"{len(found):,}" for found in sources)
        train, long = fitting(examples.train, parameters)
        done = "cut" if parameters.long_pairs == "cut" else "left out"
        yield "longer than max_length", f"{counted(long, 'pairs')}, {done}"
        yield "without a translation", f"{counted(parts.train.dropped, 'pairs')}, left out"
        sizes = f"{len(encoder.source):,} {parameters.level}s, shared"
        if encoder.target is not None:
            sizes = f"{len(encoder.source):,} source and {len(encoder.target):,} target {parameters.level}s"
        yield "vocabulary", sizes
        yield "tokens in training", f"{sum(map(len, train.sources)):,} source, {train.tokens:,} target"

    def step_unit(self, model: Translation) -> StepUnit:
        return StepUnit("tokens")

    def panels(self, model: Translation, records: Corpus, examples: Encoded, predicted: Translated) -> Iterable[Panel]:
        return translation_panels(languages_of(model), examples, predicted.texts, model.parameters.level)

    def pieces(self, model: Translation, source: Any) -> Iterator[Corpus]:
        """Yield lines, those of a file or a list several at a time, others each as it comes."""
        lines = iter(read_lines(source, keep_blank=True) if is_path(source) else source)
        whole = is_path(source) or isinstance(source, (list, tuple))
        strange = Strange(languages_of(model))
        while chunk := list(islice(lines, _TOGETHER if whole else 1)):
            strange.look(chunk)
            yield Corpus("the lines", tuple((text, "") for text in chunk))
            if not whole:
                strange.say()
        strange.say()

    def answers(self, model: Translation, records: Corpus, search: Search | None = None) -> Iterator[Mapping[str, Any]]:
        texts = [source for source, _ in records.pairs]
        for found in together_of(model).translate(texts, search or search_of(model.parameters)):
            others = [{"translation": each.text, "score": each.score} for each in found]
            yield {"translation": found[0].text, "alternatives": others}

    def stream(self, model: Translation, **options: Any) -> TranslationStream:
        return TranslationStream(together_of(model), search_of(model.parameters).changed(options))


def _references(pairs: Encoded) -> list[list[str]]:
    return [[reference] for _, reference in pairs.pairs]


def languages_of(model: Translation) -> Languages:
    """Return a network with the vocabularies of both sides."""
    encoder, parameters = model.encoder, model.parameters
    return Languages(
        model.network, encoder.source, encoder.written, encoder.longest, parameters.copy_unknown, encoder.characters
    )


def together_of(model: Translation) -> Together:
    """Return the network with the phrases beside it."""
    encoder = model.encoder
    wanted = encoder.phrases if model.parameters.phrases else None
    return Together(languages_of(model), wanted, encoder.weights, encoder.mix, encoder.numbers)


def search_of(parameters: TranslationParameters) -> Search:
    """Return how translations are searched for."""
    given = parameters
    return Search(
        beam_size=given.beam_size, length_penalty=given.length_penalty, coverage_penalty=given.coverage_penalty
    )


def reference_loss(network: TranslationNetwork, pairs: Encoded) -> float:
    """Return the mean negative log-likelihood of a reference's token, its end counted, in nats."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in TranslationBatches(pairs, batch_tokens=_TOKENS, shuffle=False).batches(0):
            loss, tokens = network(*batch.data)
            total, count = total + float(loss) * tokens, count + tokens
    return total / count
