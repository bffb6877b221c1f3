"""Captions of clips: searched by a beam, spelled, with where attention looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.tasks.base.batches import like_lengths
from ostinato.tasks.base.searching.beam import beam_search
from ostinato.tasks.base.searching.greedy import greedy_search
from ostinato.tasks.base.searching.search import Hypothesis, Search
from ostinato.tasks.base.searching.tokens_as_text import as_text
from ostinato.tasks.base.task import Model
from ostinato.tasks.captions.encoding import CaptionEncoder, Shown
from ostinato.tasks.captions.frames import Frames, together
from ostinato.tasks.captions.network import CaptionNetwork
from ostinato.tasks.captions.parameters import CaptionParameters

CaptionModel: TypeAlias = "Model[CaptionParameters, CaptionEncoder]"
_CLIPS, _PIXELS = 16, 1 << 24  # of a batch, at most


@dataclass(frozen=True)
class Caption:
    """A caption of a clip, and how it was found.

    Args:
        text: the caption.
        score: what captions of one clip are ordered by.
        log_probability: of its tokens and its end.
        hypothesis: its tokens; with `attention`, where each looked.
    """

    text: str
    score: float
    log_probability: float
    hypothesis: Hypothesis


def search_of(model: CaptionModel) -> Search:
    """Return how captions are searched for: none is shorter, or repeats more, than those of the training part do."""
    given, habits = model.parameters, model.encoder.habits
    return Search(
        beam_size=given.beam_size,
        length_penalty=given.length_penalty,
        min_length=habits.shortest if given.min_length is None else max(1, given.min_length),
        usual=habits.usual,
        open_tokens=habits.open_tokens,
        spaced=habits.spaced if given.block_ngrams is None else 0,
        block_ngrams=habits.apart if given.block_ngrams is None else given.block_ngrams,
    )


def captions_of(model: CaptionModel, shown: Shown, search: Search, *, attention: bool = False) -> list[list[Caption]]:
    """Return captions of each clip, the best first, up to as many as the beam is wide.

    Args:
        model: what writes.
        shown: the clips.
        search: see `Search`.
        attention: whether to keep where each token looked.
    """
    found: list[list[Caption]] = [[] for _ in range(len(shown))]
    for rows, memory, lengths in memories(model.network, shown):
        for row, captions in zip(rows, captions_from(model, memory, lengths, search, attention=attention), strict=True):
            found[row] = captions
    return found


def captions_from(
    model: CaptionModel, memory: Tensor, lengths: Tensor, search: Search, *, attention: bool = False
) -> list[list[Caption]]:
    """Return captions of clips that are encoded; see `CaptionNetwork.encode`."""
    network: Any = model.network
    limits = torch.full_like(lengths, search.max_length or max(model.encoder.longest, search.min_length))
    with torch.inference_mode():
        if search.beam_size == 1:
            one = greedy_search(network, memory, lengths, limits, search, attention=attention)
            found = [[each] for each in one]
        else:
            found = beam_search(network, memory, lengths, limits, search, attention=attention)
    return [[_spelled(model, each) for each in group] for group in found]


def memories(network: CaptionNetwork, shown: Shown) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Yield clips of like length, encoded: their places, memories `(steps, clips, features)` and their lengths."""
    for rows in batches_of_rows(shown):
        frames, lengths = together([shown.frames(row) for row in rows])
        with torch.inference_mode():
            memory, steps = network.encode(torch.from_numpy(frames), torch.from_numpy(lengths))
        yield rows, memory, steps


def batches_of_rows(shown: Shown) -> Iterator[list[int]]:
    """Yield the places of clips of like length, so many as fit into memory."""
    first = shown.frames(0) if len(shown) else None
    size = 1 if first is None else int(np.prod(first.shape[1:]))
    yield from like_lengths(shown.lengths, rows=_CLIPS, steps=max(1, _PIXELS // size))


def encoded_frames(network: CaptionNetwork, frames: Frames) -> tuple[Tensor, Tensor]:
    """Return one clip, encoded; see `memories`."""
    with torch.inference_mode():
        return network.encode(torch.from_numpy(frames[:, None]), torch.tensor([len(frames)]))


def looked(hypothesis: Hypothesis) -> NDArray[np.float64]:
    """Return where each token of a caption, and its end, looked: `(tokens, frames)`, rows that sum to one."""
    assert hypothesis.attention is not None
    found: NDArray[np.float64] = hypothesis.attention.double().numpy()
    return found


def _spelled(model: CaptionModel, found: Hypothesis) -> Caption:
    return Caption(as_text(found.tokens, model.encoder.vocabulary), found.score, found.log_probability, found)


def token_names(tokens: Sequence[int], model: CaptionModel) -> tuple[str, ...]:
    """Return tokens one by one, as a figure shows them."""
    from ostinato.tasks.base.searching.tokens_as_text import token_names as named

    return named(tokens, model.encoder.vocabulary, model.parameters.level)
