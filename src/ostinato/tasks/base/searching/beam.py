"""Beam search, the hypotheses of all sentences in one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato.data.text import Specials
from ostinato.tasks.base.searching.search import Hypothesis, Search, forbid
from ostinato.tasks.base.searching.writer import Writer

_MARKS = (Specials().pad, Specials().bos)
_NOTHING = float("-inf")


@dataclass(frozen=True)
class _Ended:
    """A hypothesis that has ended: its tokens, and where its last step is in the trail."""

    score: float
    log_probability: float
    tokens: tuple[int, ...]
    step: int
    row: int


@dataclass(frozen=True)
class _Mark:
    """What a step left for the way back: the attention of its rows, and which row of the step before each came from."""

    seen: Tensor | None  # (rows, source), or (rows,) the places that were looked at most
    origin: Tensor  # (rows,)


def beam_search(
    network: Writer,
    sources: Tensor,
    lengths: Tensor,
    limits: Tensor,
    search: Search,
    *,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Return the best texts for each source, up to `beam_size` of them, the best first.

    Args:
        network: in evaluation mode.
        sources: `(source, batch)`, or as the network reads them; the first two are places and the batch.
        lengths: `(batch,)`, ends counted.
        limits: tokens that each text has at most, `(batch,)`.
        search: see `Search`.
        attention: whether all attention weights are kept; without, only the places that were looked at most.

    A sentence leaves the batch when it is done. Hypotheses are rows of the batch, those of a sentence side by side.
    """
    beam = _Beam(network, sources, lengths, limits, search, attention)
    while beam.sentences:
        beam.advance()
    return beam.found()


class _Beam:
    """Where a search stands; `scores` is `(sentences, beam)`, all else one row a hypothesis."""

    def __init__(
        self,
        network: Writer,
        sources: Tensor,
        lengths: Tensor,
        limits: Tensor,
        search: Search,
        attention: bool,
    ) -> None:
        count, width = sources.shape[1], search.beam_size
        self.network, self.search, self.attention, self.limits = network, search, attention, limits
        self.sentences = list(range(count))
        spread = torch.arange(count).repeat_interleave(width)
        self.state = network.start(sources, lengths).select(spread)
        self.real = (torch.arange(len(sources)) < lengths[:, None])[spread]
        self.covered = torch.zeros(self.real.shape) if search.coverage_penalty else None
        self.tokens = torch.full((count * width,), Specials().bos)
        self.written = torch.zeros((count * width, 0), dtype=torch.long)
        self.scores = torch.full((count, width), _NOTHING)
        self.scores[:, 0] = 0.0  # all hypotheses are the same at first
        self.ended: list[list[_Ended]] = [[] for _ in range(count)]
        self.trail: list[_Mark] = []
        self.origin = torch.arange(count * width)

    def advance(self) -> None:
        """Write one more token to every hypothesis, and let go of sentences that are done."""
        totals, parents, tokens = self._candidates()
        self._look()
        ends = tokens == Specials().eos
        penalties = self._penalties()
        self._end(totals, parents, ends, penalties)
        # so many candidates that enough continue, even if all others end
        going, order = totals.masked_fill(ends, _NOTHING).topk(self.search.beam_size, -1)
        parents, tokens = parents.gather(1, order), tokens.gather(1, order)
        kept = [place for place in range(len(self.sentences)) if not self._done(place, going, parents, penalties)]
        self._move(going, parents, tokens, kept)

    def _candidates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best continuations of each sentence: log-probabilities, rows in the beam and tokens."""
        scores, self.state = self.network.step(self.tokens, self.state)
        whole = scores.logsumexp(-1, keepdim=True)
        width = self.search.beam_size
        limits = self.limits[self._numbers()].repeat_interleave(width)
        forbid(scores, self.written, limits, _MARKS, Specials().eos, self.search)
        count = min(2 * width, scores.shape[1])
        best, tokens = scores.topk(count, -1)
        totals = (self.scores.reshape(-1, 1) + best - whole).view(-1, width * count)
        totals, order = totals.topk(min(2 * width, width * count), -1)
        return totals, order // count, tokens.view(-1, width * count).gather(1, order)

    def _numbers(self) -> Tensor:
        return torch.tensor(self.sentences)

    def _look(self) -> None:
        weights = self.state.weights
        if weights is not None and self.covered is not None:
            self.covered = self.covered + weights
        seen = weights if weights is None or self.attention else weights.argmax(-1)
        self.trail.append(_Mark(seen, self.origin))

    def _penalties(self) -> Tensor:
        """Return the coverage penalty of every hypothesis, `(sentences, beam)`."""
        if self.covered is None or self.state.weights is None:
            return torch.zeros(self.scores.shape)
        return self.search.coverage(self.covered, self.real).view(self.scores.shape)

    def _end(self, totals: Tensor, parents: Tensor, ends: Tensor, penalties: Tensor) -> None:
        """Take in candidates that end; those behind the beam are passed over."""
        width, step = self.search.beam_size, self.written.shape[1]
        within = ends[:, :width] & (totals[:, :width] > _NOTHING)
        scale = self.search.scale(step + 1)
        for place, rank in within.nonzero().tolist():
            parent, total = int(parents[place, rank]), float(totals[place, rank])
            row = place * width + parent
            score = total / scale + float(penalties[place, parent]) + self.search.of_length(step)
            ended = self.ended[self.sentences[place]]
            ended.append(_Ended(score, total, tuple(self.written[row].tolist()), step, row))
            ended.sort(key=lambda one: -one.score)
            del ended[width:]

    def _done(self, place: int, going: Tensor, parents: Tensor, penalties: Tensor) -> bool:
        best = float(going[place, 0])
        sentence = self.sentences[place]
        if best == _NOTHING:
            return True
        ended = self.ended[sentence]
        if len(ended) < self.search.beam_size:
            return False
        longer = self.search.of_longer(self.written.shape[1] + 1)
        if self.search.thorough:  # probabilities only fall, and penalties are none at best
            return best / float(self.search.scale(int(self.limits[sentence]) + 1)) + longer <= ended[-1].score
        as_it_stands = best / float(self.search.scale(self.written.shape[1] + 1)) + longer
        return as_it_stands + float(penalties[place, int(parents[place, 0])]) <= ended[-1].score

    def _move(self, going: Tensor, parents: Tensor, tokens: Tensor, kept: list[int]) -> None:
        """Put rows in the order of the hypotheses that continue."""
        width = self.search.beam_size
        chosen = torch.tensor(kept, dtype=torch.long)
        rows = (chosen[:, None] * width + parents[chosen]).flatten()
        left = len(kept) < len(self.sentences)
        self.sentences = [self.sentences[place] for place in kept]
        if not kept:
            return
        self.state = self.state.select(rows, memory=left)
        self.origin = rows
        self.tokens = tokens[chosen].flatten()
        self.written = torch.cat([self.written[rows], self.tokens[:, None]], 1)
        self.scores = going[chosen]
        if left:
            self.real = self.real[rows]
        if self.covered is not None:
            self.covered = self.covered[rows]

    def found(self) -> list[list[Hypothesis]]:
        """Return what was found for each sentence; an empty text where nothing could be written."""
        nothing = [Hypothesis((), _NOTHING, _NOTHING)]
        return [[self._hypothesis(one) for one in each] or nothing for each in self.ended]

    def _hypothesis(self, ended: _Ended) -> Hypothesis:
        """Walk the trail back to gather what a hypothesis looked at."""
        seen, row = [], ended.row
        for mark in reversed(self.trail[: ended.step + 1]):
            if mark.seen is None:
                return Hypothesis(ended.tokens, ended.log_probability, ended.score)
            seen.append(mark.seen[row])
            row = int(mark.origin[row])
        looks = torch.stack(seen[::-1])
        places = looks.argmax(-1) if self.attention else looks
        return Hypothesis(
            ended.tokens, ended.log_probability, ended.score, tuple(places.tolist()), looks if self.attention else None
        )
