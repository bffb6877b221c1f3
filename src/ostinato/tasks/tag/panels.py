"""What a report shows of a tagger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ostinato.tasks.base.classes import class_table, confusion_panel, mistakes_table, reliability_curve
from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.summary import Panel, Sample
from ostinato.tasks.base.task import Model
from ostinato.tasks.tag.baselines import Tags
from ostinato.tasks.tag.network import collate_words
from ostinato.tasks.tag.sentences import UNSEEN, Examples

_SHOWN, _LOOKED_AT = 3, 64


def tag_panels(model: Model[Any, Any], examples: Examples, predicted: Sequence[Tags]) -> Iterator[Panel]:
    """Yield the panels of held-out sentences."""
    truth, found = examples.truth, np.concatenate([each.found for each in predicted])
    given = np.concatenate([_given(each) for each in predicted])
    names = (*model.encoder.tags, UNSEEN)
    yield confusion_panel(names, truth, found, title="Tags, and what they were taken for")
    yield class_table(names, truth, found, title="Each tag")
    yield reliability_curve(given, found == truth)
    for number, (sentence, value) in enumerate(zip(examples.sentences[:_SHOWN], predicted, strict=False), 1):
        rows = zip(sentence.tokens, (names[tag] for tag in value.found), sentence.tags, strict=True)
        text = "\n".join(f"{token}\t{said}" + (f"\t(is {tag})" * (said != tag)) for token, said, tag in rows)
        yield Sample(f"Held-out sentence {number}", text)
    yield mistakes_table(_mistakes(names, examples, predicted), ("token", "is", "was taken for", "around it"))
    yield _gradients(model, examples)


def _given(tags: Tags) -> np.ndarray[Any, Any]:
    assert tags.probabilities is not None
    return np.asarray(tags.probabilities[np.arange(len(tags.found)), tags.found])


def _mistakes(
    names: Sequence[str], examples: Examples, predicted: Sequence[Tags]
) -> Iterator[tuple[float, tuple[str | float, ...]]]:
    for sentence, value in zip(examples.sentences, predicted, strict=True):
        given = _given(value)
        for place, (number, tag) in enumerate(zip(value.found, sentence.tags, strict=True)):
            if names[number] != tag:
                around = " ".join(sentence.tokens[max(0, place - 3) : place + 4])
                yield float(given[place]), (sentence.tokens[place], tag, names[number], around)


def _gradients(model: Model[Any, Any], examples: Examples) -> Panel:
    """Return how much a token some places before the last one moves the loss of its tag."""
    chosen = sorted(range(len(examples)), key=lambda row: -len(examples.classes[row]))[:_LOOKED_AT]
    batch = collate_words(model.encoder, [examples.sentences[row].tokens for row in chosen])
    last = batch.lengths - 1, torch.arange(len(chosen))
    wanted = torch.tensor([min(int(examples.classes[row][-1]), len(model.encoder.tags) - 1) for row in chosen])

    def loss(xs: Tensor) -> Tensor:
        ys, _ = model.network.stack(xs, lengths=batch.lengths)
        return functional.cross_entropy(model.network.scores(ys[last]), wanted, reduction="sum")

    norms = gradient_norms(model.network.read(batch), batch.lengths, loss)
    return gradient_panel(norms, step="tokens", note=f"Mean over the {len(chosen)} longest sentences.")
