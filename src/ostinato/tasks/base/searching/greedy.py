"""Greedy decoding: the best token each time, for a batch at once or token by token."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ostinato.data.text import Specials
from ostinato.tasks.base.searching.search import Hypothesis, Search, forbid
from ostinato.tasks.base.searching.writer import Writer

_MARKS = (Specials().pad, Specials().bos)


def greedy_search(
    network: Writer, sources: Tensor, lengths: Tensor, limits: Tensor, search: Search, *, attention: bool
) -> list[Hypothesis]:
    """Return one text for each source; arguments as in `beam_search`. Rows that have ended leave the batch."""
    state = network.start(sources, lengths)
    bos, eos = Specials().bos, Specials().eos
    rows = list(range(sources.shape[1]))
    tokens = torch.full((len(rows),), bos)
    written = torch.zeros((len(rows), 0), dtype=torch.long)
    totals = torch.zeros(len(rows))
    looks = torch.zeros((len(rows), 0, len(sources) if attention else 1))
    found: dict[int, Hypothesis] = {}
    while rows:
        scores, state = network.step(tokens, state)
        whole = scores.logsumexp(-1)
        forbid(scores, written, limits, _MARKS, eos, search)
        best, tokens = scores.max(-1)
        totals = totals + best - whole
        if state.weights is not None:
            seen = state.weights if attention else state.weights.argmax(-1, keepdim=True).to(looks.dtype)
            looks = torch.cat([looks, seen[:, None]], 1)
        going = tokens != eos
        if not bool(going.all()):
            for place in (~going).nonzero()[:, 0].tolist():
                found[rows[place]] = _ended(written[place], float(totals[place]), looks[place], search, attention)
            kept = going.nonzero()[:, 0]
            rows = [rows[place] for place in kept.tolist()]
            if not rows:
                break
            state = state.select(kept)
            tokens, written, totals, limits, looks = (each[kept] for each in (tokens, written, totals, limits, looks))
        written = torch.cat([written, tokens[:, None]], 1)
    return [found[row] for row in range(sources.shape[1])]


def _ended(written: Tensor, total: float, looks: Tensor, search: Search, attention: bool) -> Hypothesis:
    score = total / search.scale(len(written) + 1) + search.of_length(len(written))
    if not len(looks):
        return Hypothesis(tuple(written.tolist()), total, score)
    places = looks.argmax(-1) if attention else looks[:, 0].long()
    return Hypothesis(
        tuple(written.tolist()), total, score, tuple(places.tolist()), looks.clone() if attention else None
    )


def greedy_tokens(network: Writer, source: Tensor, limit: int, search: Search) -> Iterator[tuple[int, int | None]]:
    """Yield the tokens of one text as they are found, each with the source position it looked at most.

    Args:
        network: in evaluation mode.
        source: `(source,)`, or `(source, features)`, as the network reads them.
        limit: tokens at most.
        search: its lengths and n-grams count; the beam does not.
    """
    limits = torch.tensor([limit])
    with torch.inference_mode():
        state = network.start(source[:, None], torch.tensor([len(source)]))
    token, written = torch.tensor([Specials().bos]), torch.zeros((1, 0), dtype=torch.long)
    while True:
        with torch.inference_mode():
            scores, state = network.step(token, state)
            forbid(scores, written, limits, _MARKS, Specials().eos, search)
            token = scores.argmax(-1)
            written = torch.cat([written, token[:, None]], 1)
            place = None if state.weights is None else int(state.weights[0].argmax())
        if int(token) == Specials().eos:
            return
        yield int(token), place
