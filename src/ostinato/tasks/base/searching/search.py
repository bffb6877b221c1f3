"""What is searched for: the settings of decoding, what is found, and what may not be written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ostinato.errors import UsageError


@dataclass(frozen=True)
class Search:
    """How a text is searched for.

    Args:
        beam_size: hypotheses of a sentence that are followed side by side; 1: the best token is taken each time.
        length_penalty: `a` of `((5 + length) / 6)^a`, by which log-probabilities are divided: 0 for none, towards 1
            longer texts are preferred. The length counts the mark of the end.
        coverage_penalty: `b` of `b * sum(log(min(attention a source token got, 1)))`, which is added; 0 for none.
        min_length: tokens that are written at least.
        max_length: tokens that are written at most; `None`: twice the source and 10 more, but no more than the model
            has cause to, see `longest`.
        block_ngrams: no sequence of so many tokens is written twice; 0 for no such limit.
        spaced: no token is written again within so many; 0 for no such limit.
        open_tokens: after which no text ends, as after an article.
        usual: logarithm of how frequent texts of 0, 1, ... tokens are, longer ones as the last; it is added to the
            score of a text that has ended. Empty: any length is as good.
        thorough: search until nothing that follows could come out better; else, until as many hypotheses as `beam_size`
            have ended and none that continues is better than the worst of them.

    Raises:
        UsageError: a setting is out of range.

    Source of both penalties: Y. Wu et al., "Google's neural machine translation system", 2016, section 7.
    """

    beam_size: int = 5
    length_penalty: float = 0.6
    coverage_penalty: float = 0.0
    min_length: int = 0
    max_length: int | None = None
    block_ngrams: int = 0
    spaced: int = 0
    open_tokens: tuple[int, ...] = ()
    usual: tuple[float, ...] = ()
    thorough: bool = False

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        if self.beam_size < 1:
            raise UsageError(f"beam_size is {self.beam_size}; expected one or more")
        for name in ("length_penalty", "coverage_penalty", "min_length", "block_ngrams", "spaced"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.max_length is not None and self.max_length < max(1, self.min_length):
            raise UsageError(
                f"max_length is {self.max_length}; expected at least 1, and no less than min_length {self.min_length}"
            )

    def limits(self, lengths: Tensor, longest: int) -> Tensor:
        """Return how many tokens each text may have, `(batch,)`.

        Args:
            lengths: of the sources, `(batch,)`, their ends counted.
            longest: the most that a model writes, unless said otherwise.
        """
        if self.max_length is not None:
            return torch.full_like(lengths, self.max_length)
        return (2 * (lengths - 1) + 10).clamp(max=longest).clamp(min=max(1, self.min_length))

    def changed(self, options: dict[str, Any]) -> Search:
        """Return settings with some of them changed.

        Raises:
            UsageError: there is no such setting, or it is out of range.
        """
        unknown = sorted(set(options) - set(vars(self)))
        if unknown:
            raise UsageError(f"a search has no option {unknown[0]}; expected one of {', '.join(vars(self))}")
        return replace(self, **options)

    def scale(self, length: int | Tensor) -> Any:
        """Return what the log-probability of a hypothesis of that length, its end counted, is divided by."""
        return ((5.0 + length) / 6.0) ** self.length_penalty

    def of_length(self, length: int) -> float:
        """Return what is added to the score of a text of so many tokens, its end not counted."""
        return self.usual[min(length, len(self.usual) - 1)] if self.usual else 0.0

    def of_longer(self, length: int) -> float:
        """Return the most that is added to the score of a text of so many tokens or more."""
        return max(self.usual[min(length, len(self.usual) - 1) :]) if self.usual else 0.0

    def coverage(self, covered: Tensor, real: Tensor) -> Tensor:
        """Return the coverage penalty `(rows,)` for attention summed over time; both `(rows, source)`."""
        return self.coverage_penalty * (covered.clamp(1e-6, 1.0).log() * real).sum(-1)


@dataclass(frozen=True)
class Hypothesis:
    """A text as it was found."""

    tokens: tuple[int, ...]
    """Without the marks of beginning and end."""
    log_probability: float
    """Of its tokens and its end."""
    score: float
    """The same with both penalties: what hypotheses are ordered by."""
    looked: tuple[int, ...] = ()
    """The source position that each token, and the end, looked at most; empty without attention."""
    attention: Tensor | None = None
    """`(tokens and end, source)`, if it was asked for."""


def forbid(scores: Tensor, written: Tensor, limits: Tensor, marks: tuple[int, ...], eos: int, search: Search) -> None:
    """Put scores `(rows, vocabulary)` of what may not follow to minus infinity, in place.

    Args:
        scores: of the next token.
        written: `(rows, tokens)` so far.
        limits: of each row, `(rows,)`.
        marks: tokens that are never written.
        eos: the mark of the end; it alone may follow where the limit is reached.
        search: see `Search`.
    """
    length = written.shape[1]
    may_end = scores[:, eos].clone()
    for mark in marks:
        scores[:, mark] = float("-inf")
    if length < search.min_length:
        scores[:, eos] = float("-inf")
    if search.open_tokens and length:
        scores[torch.isin(written[:, -1], torch.tensor(search.open_tokens)), eos] = float("-inf")
    if 0 < search.block_ngrams <= length:
        _block(scores, written, search.block_ngrams)
    if search.spaced and length:
        scores.scatter_(1, written[:, -search.spaced :], float("-inf"))
    if search.block_ngrams or search.spaced:
        # where nothing else is left, a text ends
        scores[:, eos] = torch.where((scores > float("-inf")).any(-1), scores[:, eos], may_end)
    if length >= int(limits.min()):
        full = limits <= length
        scores[full] = float("-inf")
        scores[full, eos] = may_end[full]


def _block(scores: Tensor, written: Tensor, size: int) -> None:
    """Forbid each token that would end a sequence of `size` tokens which is there already."""
    windows = written.unfold(1, size, 1)  # (rows, places, size)
    begun = written[:, written.shape[1] - size + 1 :]
    rows, places = (windows[:, :, : size - 1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
    scores[rows, windows[rows, places, size - 1]] = float("-inf")
