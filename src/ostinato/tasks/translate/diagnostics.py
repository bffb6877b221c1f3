"""What happens inside: how strongly each source token is felt in the loss of its translation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.tasks.base.summary import Curve
from ostinato.tasks.translate.batches import TranslationBatches
from ostinato.tasks.translate.corpus import encode_pairs
from ostinato.tasks.translate.network import TranslationNetwork
from ostinato.tasks.translate.pairs import Pair
from ostinato.tasks.translate.translating import Languages

_PAIRS, _LEAST = 64, 8


def gradient_flow(languages: Languages, pairs: Sequence[Pair]) -> Curve | None:
    """Return the gradient of the loss with respect to what the encoder reads, by place from the source's end.

    The loss is that of a whole translation; its gradient's L2 norm at a source token is averaged over sentences.
    Without attention it has to come through all later steps of the encoder; with attention it need not.

    Returns:
        `None` if there are fewer than eight pairs.
    """
    own = encode_pairs(pairs[:_PAIRS], languages.source, languages.target)
    if len(own) < _LEAST:
        return None
    batch = next(iter(TranslationBatches(own, batch_tokens=10**9, shuffle=False).batches(0))).data
    norms = _norms(languages.network, batch)
    lengths = batch.source_lengths
    back = (lengths - 1 - torch.arange(len(norms))[:, None]).clamp(min=-1)  # 0: the end itself
    real = back >= 0
    totals = torch.zeros(len(norms)).index_add_(0, back[real], norms[real])
    counts = torch.zeros(len(norms)).index_add_(0, back[real], torch.ones_like(norms[real]))
    shown = int((counts >= _LEAST).sum())
    means = (totals[:shown] / counts[:shown]).tolist()
    return Curve(
        title="Gradient at each source token",
        x=tuple(float(place) for place in range(shown)),
        lines={"mean norm": tuple(means)},
        x_axis="tokens from the end of the source",
        y_axis="gradient of the loss, L2 norm",
        logarithmic=min(means) > 0,
        note=f"of {len(own)} held-out sentences; places that at least {_LEAST} of them have",
    )


def _norms(network: TranslationNetwork, batch: Sequence[Tensor]) -> Tensor:
    """Return the gradient's norm at each embedded source token, `(source, batch)`."""
    read: list[Tensor] = []

    def keep(_: nn.Module, __: object, vectors: Tensor) -> None:
        vectors.retain_grad()
        read.append(vectors)

    handle = network.model.front.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            loss, tokens = network(*batch)
            (loss * tokens).backward()
    finally:
        handle.remove()
        network.zero_grad(set_to_none=True)
    gradient = read[0].grad  # the source comes first; a shared embedding is called for the target too
    assert gradient is not None
    norms: Tensor = gradient.norm(dim=-1)
    return norms
