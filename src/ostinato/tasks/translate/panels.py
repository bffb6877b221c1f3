"""What a report shows of a translator: samples, and where its attention looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ostinato.tasks.base.gradients import gradient_norms, gradient_panel
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.base.searching.tokens_as_text import token_names
from ostinato.tasks.base.summary import Curve, Matrix, Panel, Table
from ostinato.tasks.translate.corpus import Encoded, TranslationBatches
from ostinato.tasks.translate.network import TranslationNetwork
from ostinato.tasks.translate.translating import Languages, translate_texts

_SAMPLES, _MATRICES, _LONGEST, _PAIRS = 8, 3, 30, 64


def translation_panels(languages: Languages, pairs: Encoded, texts: Sequence[str], level: str) -> Iterator[Panel]:
    """Yield the panels of held-out pairs and their translations."""
    rows = tuple((source, found, reference) for (source, reference), found in zip(pairs.pairs, texts, strict=True))
    columns = ("source", "translation", "reference")
    yield Table("Held-out sentences", columns, rows[:_SAMPLES], "as they come, not chosen")
    if languages.network.looks:
        short = [source for source, _ in pairs.pairs if 0 < len(languages.source.encode(source)) <= _LONGEST]
        for source in short[:_MATRICES]:
            yield attention_matrix(languages, source, level)
    yield _gradients(languages.network, pairs)


def attention_matrix(languages: Languages, source: str, level: str) -> Matrix:
    """Return where each token of a greedy translation looked, as a figure has it."""
    found = translate_texts(languages, [source], Search(beam_size=1), attention=True)[0][0].hypothesis
    looked = found.attention
    assert looked is not None
    assert bool(torch.isfinite(looked).all())
    return Matrix(
        title=f"Attention: {source}",
        rows=token_names([*found.tokens, languages.target.specials.eos], languages.target, level),
        columns=token_names(languages.read(source), languages.source, level),
        values=tuple(tuple(row) for row in looked.tolist()),
        row_axis="translation",
        column_axis="source",
        note="each row is what the model looked at when it wrote that token",
    )


def _gradients(network: TranslationNetwork, pairs: Encoded) -> Curve:
    """Return the gradient of a translation's loss by what the encoder reads, by place from the source's end.

    Without attention it has to come through all later steps of the encoder; with attention it need not.
    """
    some = Encoded(pairs.pairs[:_PAIRS], pairs.sources[:_PAIRS], pairs.targets[:_PAIRS])
    batch = next(iter(TranslationBatches(some, batch_tokens=10**9, shuffle=False).batches(0))).data
    with torch.no_grad():
        xs = network.model.front(batch.source)

    def loss(read: Tensor) -> Tensor:
        given = iter([read])  # the source comes first; a shared embedding is called for the target too

        def instead(_: nn.Module, __: object, vectors: Tensor) -> Tensor:
            return next(given, vectors)

        handle = network.model.front.register_forward_hook(instead)
        try:
            mean, tokens = network(*batch)
        finally:
            handle.remove()
        summed: Tensor = mean * tokens
        return summed

    norms = gradient_norms(xs, batch.source_lengths, loss)
    return gradient_panel(norms, step="source tokens", note=f"Of whole translations, mean of {len(some)} sentences.")
