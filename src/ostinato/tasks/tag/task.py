"""What is a tagger's own; all else is of `ostinato.tasks.base`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ostinato.data.text import TaggedSentence, read_lines
from ostinato.errors import DataError, UsageError
from ostinato.tasks.base.batches import RowBatches
from ostinato.tasks.base.classes import class_measures
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.base.steps import StepUnit
from ostinato.tasks.base.summary import Panel
from ostinato.tasks.base.task import Baselines, Model, Task
from ostinato.tasks.base.units import Units
from ostinato.tasks.tag.baselines import FrequentTags, HiddenMarkov, Tags
from ostinato.tasks.tag.constraints import possible, scheme_for
from ostinato.tasks.tag.network import TagBatch, TagNetwork, TagObjective, collate_words
from ostinato.tasks.tag.panels import tag_panels
from ostinato.tasks.tag.parameters import TagParameters
from ostinato.tasks.tag.parts import deep_logs, mixed_tags, tag_weights
from ostinato.tasks.tag.sentences import (
    NOTHING,
    Corpus,
    Examples,
    TagEncoder,
    is_tagged,
    known_characters,
    known_words,
    numbered_tags,
    read_sentences,
)
from ostinato.tasks.tag.spans import scheme_of, span_scores
from ostinato.tasks.tag.stream import SentenceStream, TokenStream, tokens_of
from ostinato.tasks.tag.units import tag_units, unknown_words
from ostinato.tasks.tag.vectors import leading_words, vectors_for
from ostinato.tasks.tag.wide import Wide
from ostinato.words import counted

Tagger: TypeAlias = "Model[TagParameters, TagEncoder]"
_SENTENCES = 64
_USUAL = Mix(wide=0.5, deep=0.6)  # the weights of both parts where no sentence was held out to find them on
_SPREAD = 0.5  # of the weights: what some hundred tokens say of both parts is no chance


class TagTask(Task[TagParameters, Corpus, TagEncoder, Examples, list[Tags]]):
    """Tagged sentences."""

    records = "sentences"
    content_name = "sentences"
    higher = Task.higher | {"accuracy, unknown words", "span precision", "span recall", "span F1"}
    decides = ("span F1", "accuracy")
    encoder_type = TagEncoder
    baseline_types = (HiddenMarkov, FrequentTags)
    kept = "the words and tags that are known, and the wide part"

    def check(self, parameters: TagParameters, *, tested: bool) -> None:
        if parameters.freeze_vectors and parameters.vectors is None:
            raise UsageError("freeze_vectors is for pretrained vectors; pass vectors=..., or leave it out")
        if parameters.class_weights != "none" and parameters.output == "crf":
            raise UsageError("class_weights are for the softmax; a CRF judges whole sentences: leave them at none")

    def joined(self, data: Any, labels: Any) -> Any:
        if len(data) != len(labels):
            raise DataError(f"there are {len(data)} sentences but {len(labels)} lists of tags; expected one for each")
        return list(zip(data, labels, strict=True))

    def read(self, parameters: TagParameters, source: Any, reading: Any = None, *, labelled: bool = True) -> Corpus:
        return read_sentences(parameters, source)

    def hold_out(self, parameters: TagParameters, records: Corpus, shares: Shares) -> Held[Corpus]:
        train, validation, test = (records.take(rows) for rows in cut(len(records), shares))
        if not len(train):
            raise DataError(f"{records.origin} leaves no sentences to train on; give more, or hold fewer out")
        return Held(train, validation, test, f"the last {percent(shares.test)} of sentences")

    def contents(self, records: Corpus) -> Iterable[tuple[str, ...]]:
        return (sentence.tokens for sentence in records.sentences)

    def title(self, records: Corpus) -> str:
        return f"Tags of {records.origin}"

    def encoder(self, parameters: TagParameters, train: Corpus) -> TagEncoder:
        tags = tuple(sorted({tag for sentence in train.sentences for tag in sentence.tags}))
        scheme = ""
        output = parameters.output or _output(parameters, tags)
        if output == "crf" and parameters.constraints:
            scheme = scheme_for(tags, train.sentences)
        file = parameters.vectors
        more = leading_words(file, parameters.vector_words) if file else ()
        words = known_words(parameters, train.sentences, more)
        vectors = vectors_for(file, words) if file else None
        width = parameters.embedding_size if vectors is None else vectors.weights.shape[1]
        longest = parameters.longest_word
        found = TagEncoder(
            words, known_characters(train.sentences), longest, tags, scheme, width, output, vectors=vectors
        )
        return self._with_wide(parameters, found, train) if parameters.wide and len(tags) > 1 else found

    def _with_wide(self, parameters: TagParameters, encoder: TagEncoder, train: Corpus) -> TagEncoder:
        targets = [numbered_tags(sentence, encoder.index) for sentence in train.sentences]
        tokens = [sentence.tokens for sentence in train.sentences]
        wide = Wide.fit(
            tokens, targets, tag_weights(parameters, encoder, targets), alone=not parameters.bidirectional,
            seed=parameters.seed, seconds=parameters.max_seconds,
        )  # fmt: skip
        if not wide.is_fitted_again(tokens):
            wide = replace(wide, seconds=0.0)
        return replace(encoder, wide=wide, mix=_USUAL)

    def network(self, parameters: TagParameters, encoder: TagEncoder, train: Corpus | None) -> nn.Module:
        network = TagNetwork(parameters, encoder)
        if train is not None and encoder.vectors is not None:
            encoder.vectors.put_into(network.embedding)
        return network

    def encode(self, model: Tagger, records: Corpus) -> Examples:
        index = model.encoder.index
        return Examples(records.sentences, tuple(numbered_tags(sentence, index) for sentence in records.sentences))

    def batches(self, model: Tagger, examples: Examples, *, training: bool) -> RowBatches[TagBatch] | None:
        encoder, parameters = model.encoder, model.parameters
        # a likelihood is not defined for tags that the model cannot give
        index, crf = encoder.index, model.network.crf
        kept = [row for row, one in enumerate(examples.sentences) if possible(one, index, crf)]
        if not kept:
            raise DataError("no sentence of a part has only tags that are known from training; give other ones")
        tags = [np.where(one == len(index), NOTHING, one) for one in examples.classes]
        tokens = [one.tokens for one in examples.sentences]

        def collate(rows: list[int]) -> TagBatch:
            chosen = [kept[row] for row in rows]
            wanted = pad_sequence([torch.from_numpy(tags[row]) for row in chosen], padding_value=NOTHING)
            return TagBatch(*collate_words(encoder, [tokens[row] for row in chosen]), wanted)

        return RowBatches(
            [len(tokens[row]) for row in kept], collate, batch_size=parameters.batch_size if training else _SENTENCES,
            shuffle=training, seed=parameters.seed,
        )  # fmt: skip

    def objective(self, model: Tagger, train: Examples) -> TagObjective:
        if model.parameters.class_weights == "none":
            return TagObjective(model.network)
        return TagObjective(
            model.network, torch.from_numpy(tag_weights(model.parameters, model.encoder, train.classes))
        )

    def seconds_after(self, model: Tagger) -> float:
        return 0.0 if model.encoder.wide is None else model.encoder.wide.seconds

    def calibrate(self, model: Tagger, validation: Examples | None) -> TagEncoder:
        """Weigh the wide part and the network on sentences that neither has seen."""
        encoder = model.encoder
        if encoder.wide is None or validation is None:
            return encoder
        sentences = [sentence.tokens for sentence in validation.sentences]
        deep = np.concatenate(deep_logs(model, sentences))
        truth = validation.truth
        there = truth < len(encoder.tags)
        if not there.any():
            return encoder
        wide = encoder.wide.log_probabilities(sentences)
        return replace(encoder, mix=Mix.found(wide[there], deep[there], truth[there], _USUAL, _SPREAD))

    def finished(self, model: Tagger, examples: Held[Examples]) -> TagEncoder:
        """Weigh both parts on the validation sentences, and then let the wide part learn from them too."""
        encoder, held = self.calibrate(model, examples.validation), examples.validation
        if encoder.wide is None or held is None:
            return encoder
        given = model.parameters
        classes = [*examples.train.classes, *held.classes]
        tokens = [sentence.tokens for sentence in (*examples.train.sentences, *held.sentences)]
        weights = tag_weights(given, encoder, examples.train.classes)
        return replace(
            encoder, wide=encoder.wide.fitted_on_all(tokens, classes, weights, given.seed, given.max_seconds)
        )

    def predict(self, model: Tagger, examples: Examples) -> list[Tags]:
        return self.tags(model, [sentence.tokens for sentence in examples.sentences])

    def tags(self, model: Tagger, sentences: Sequence[Sequence[str]]) -> list[Tags]:
        """Return the tags of sentences; one without tokens has none."""
        empty = Tags(np.zeros(0, np.int64), np.zeros((0, len(model.encoder.tags))))
        given = [sentence for sentence in sentences if sentence]
        found = iter([Tags(tags, probabilities) for probabilities, tags in mixed_tags(model, given)])
        return [next(found) if sentence else empty for sentence in sentences]

    def baselines(self, model: Tagger, train: Examples, validation: Examples | None) -> Baselines:
        names = model.encoder.tags
        known = [each for each in (validation.sentences if validation else ()) if set(each.tags) <= set(names)]
        counted = [*train.sentences, *known]
        return {
            "hidden Markov model": lambda: HiddenMarkov.fit(counted, names),
            "most frequent tag of the word": lambda: FrequentTags.fit(counted, names),
        }

    def measures(self, model: Tagger, examples: Examples, predicted: list[Tags]) -> dict[str, float]:
        if not len(examples):
            raise DataError("there are no tagged sentences to judge; give some")
        truth, found, probabilities = examples.truth, *_flat(predicted)
        tags = model.encoder.tags
        measures = class_measures(truth, found, probabilities, len(tags))
        unknown = unknown_words(model, examples)
        if unknown.any():
            measures["accuracy, unknown words"] = float((truth == found)[unknown].mean())
        if scheme_of(tags):
            named = [[tags[number] for number in each.found] for each in predicted]
            spans = span_scores([sentence.tags for sentence in examples.sentences], named)
            measures |= {"span precision": spans.precision, "span recall": spans.recall, "span F1": spans.f1}
        return measures

    def units(self, model: Tagger, examples: Examples, predicted: list[Tags]) -> Units:
        return tag_units(model, examples, predicted, *_flat(predicted))

    def counted(self, model: Tagger, examples: Examples) -> tuple[int, str]:
        return len(examples.truth), "tokens"

    def protocol(self, model: Tagger, examples: Examples) -> str:
        known = set(model.encoder.tags)
        unseen = [tag for sentence in examples.sentences for tag in sentence.tags if tag not in known]
        if not unseen:
            return ""
        kinds = sorted(set(unseen))
        shown = ", ".join(kinds[:6]) + (", ..." if len(kinds) > 6 else "")
        have = "1 token has a tag" if len(unseen) == 1 else f"{len(unseen):,} tokens have a tag"
        return f"{have} that training did not have ({shown}), which counts as wrong"

    def facts(self, model: Tagger, parts: Held[Corpus], examples: Held[Examples]) -> Iterable[tuple[str, str]]:
        for name, part in parts.named().items():
            yield (
                name,
                "none" if part is None else f"{counted(len(part), 'sentences')}, {counted(part.tokens, 'tokens')}",
            )
        encoder = model.encoder
        yield "words", f"{len(encoder.words.words):,}"
        yield "tags", f"{len(encoder.tags)}: {', '.join(encoder.tags[:30])}{', ...' * (len(encoder.tags) > 30)}"
        output = model.parameters.output or encoder.output
        yield "output", f"{output} under the constraints of {encoder.scheme}" if encoder.scheme else output
        if encoder.vectors is not None:
            yield "vectors", encoder.vectors.said

    def settings(self, model: Tagger) -> Mapping[str, Any]:
        encoder = model.encoder
        found = {"output": model.parameters.output or encoder.output}
        return found if encoder.wide is None else {**found, "wide": f"weights {encoder.mix}"}

    def step_unit(self, model: Tagger) -> StepUnit:
        return StepUnit("tokens")

    def panels(self, model: Tagger, records: Corpus, examples: Examples, predicted: list[Tags]) -> Iterable[Panel]:
        return tag_panels(model, examples, predicted)

    def pieces(self, model: Tagger, source: Any) -> Iterator[Corpus]:
        """Yield each line by itself, blank ones too; or each sentence of a file of the training's kind."""
        if is_path(source) and is_tagged(model.parameters, source, model.encoder.tags):
            for sentence in read_sentences(model.parameters, source).sentences:
                yield Corpus("the sentence", (sentence,))
            return
        for line in read_lines(source, keep_blank=True) if is_path(source) else source:
            tokens = tuple(tokens_of(line))
            yield Corpus("the line", (TaggedSentence(tokens, tokens),))

    def answers(self, model: Tagger, records: Corpus) -> Iterator[Mapping[str, Any]]:
        sentences = [sentence.tokens for sentence in records.sentences]
        for tokens, tags in zip(sentences, self.tags(model, sentences), strict=True):
            assert tags.probabilities is not None
            given = tags.probabilities[np.arange(len(tokens)), tags.found].tolist()
            named = [model.encoder.tags[number] for number in tags.found]
            yield {"tags": " ".join(named), "tokens": list(tokens), "probabilities": given}

    def stream(self, model: Tagger, *, tokens: bool = False, **options: Any) -> SentenceStream | TokenStream:
        return TokenStream(model) if tokens else SentenceStream(lambda line: next(self._said(model, line)))

    def _said(self, model: Tagger, line: Any) -> Iterator[Mapping[str, Any]]:
        return self.answers(model, next(self.pieces(model, [line])))


def _output(parameters: TagParameters, tags: Sequence[str]) -> str:
    """Return what judges the tags where nobody says: all together where they name spans."""
    together = bool(scheme_of(tags)) and parameters.bidirectional and parameters.class_weights == "none"
    return "crf" if together else "softmax"


def _flat(predicted: Sequence[Tags]) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    given = [each.probabilities for each in predicted if each.probabilities is not None]
    found = np.concatenate([each.found for each in predicted])
    return found, np.concatenate(given) if len(given) == len(predicted) else None
