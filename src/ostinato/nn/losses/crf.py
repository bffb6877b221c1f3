"""A linear-chain conditional random field: tags of a sequence scored together, each with the one before.

Sources: J. Lafferty, A. McCallum and F. Pereira, "Conditional random fields", ICML 2001; on top of recurrent layers
G. Lample et al., "Neural architectures for named entity recognition", NAACL 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ostinato.engine import leaves, scan
from ostinato.errors import ShapeError, UsageError
from ostinato.nn.norms import real_steps

_NEVER = -1e4
"""The score of what is forbidden: no likelihood is left, and no infinities come into gradients."""


class Forbidden(NamedTuple):
    """Which tags may not follow one another, `(tags, tags)` from and to, nor come first or last, `(tags,)` each."""

    between: Tensor
    first: Tensor
    last: Tensor


class LinearChainCRF(nn.Module):
    """Scores of neighbouring tags, on top of scores of each tag at each step.

    Args:
        tags: how many there are.
        forbidden: from `forbidden_transitions`, if the tags have a grammar.

    >>> import torch
    >>> crf = LinearChainCRF(4)
    >>> scores, lengths = torch.randn(7, 2, 4), torch.tensor([7, 3])
    >>> crf(scores, torch.zeros(7, 2, dtype=torch.long), lengths).shape
    torch.Size([])
    >>> [len(path) for path in crf.decode(scores, lengths)]
    [7, 3]
    """

    between: Tensor
    first: Tensor
    last: Tensor

    def __init__(self, tags: int, forbidden: Forbidden | None = None) -> None:
        super().__init__()
        if tags < 1:
            raise UsageError(f"tags is {tags}; expected one or more")
        self.tags = tags
        self.transitions = nn.Parameter(0.1 * torch.randn(tags, tags))
        self.starts, self.ends = (nn.Parameter(0.1 * torch.randn(tags)) for _ in range(2))
        none = Forbidden(*(torch.zeros(shape, dtype=torch.bool) for shape in ((tags, tags), (tags,), (tags,))))
        for name, mask in zip(Forbidden._fields, forbidden or none, strict=True):
            self.register_buffer(name, mask.clone())
        self._step = _Step()

    def forward(
        self, scores: Tensor, targets: Tensor, lengths: Tensor | None = None, *, reduction: str = "mean"
    ) -> Tensor:
        """Return the negative log-likelihood of tag sequences.

        Args:
            scores: of each tag, `(time, batch, tags)`.
            targets: tag numbers `(time, batch)`.
            lengths: `(batch,)` real steps.
            reduction: `"mean"` over the batch, `"sum"`, or `"none"` for `(batch,)`; an empty row loses nothing.

        Raises:
            ShapeError: the shapes do not fit.
        """
        if targets.shape != scores.shape[:2]:
            raise ShapeError(
                f"scores have shape {tuple(scores.shape)} and targets {tuple(targets.shape)}; expected "
                f"(time, batch, {self.tags}) and (time, batch)"
            )
        scores, ends, real = self._checked(scores, lengths)
        losses = self._log_partition(scores, ends) - self._score(scores, targets.masked_fill(~real, 0), ends, real)
        losses = torch.where(ends > 0, losses, torch.zeros_like(losses))
        if reduction == "none":
            return losses
        return losses.sum() if reduction == "sum" else losses.mean()

    def decode(self, scores: Tensor, lengths: Tensor | None = None) -> list[list[int]]:
        """Return the most likely tags of each row (Viterbi, 1967)."""
        with torch.no_grad():
            scores, ends, _ = self._checked(scores, lengths)
            if not scores.shape[0]:
                return [[] for _ in range(scores.shape[1])]
            transitions, first, last = self._parts()
            best = first + scores[0]
            history, came = [best], []
            for step in scores[1:]:
                value, back = (best[:, :, None] + transitions).max(1)
                best = value + step
                history.append(best)
                came.append(back)
            return [
                _path([step[row] for step in history], [back[row] for back in came], int(end), last)
                for row, end in enumerate(ends)
            ]

    def marginals(self, scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the probability of each tag at each step, `(time, batch, tags)`, zero past a row's end.

        They are the gradient of the log-partition function by the scores, which is what forward-backward computes.
        """
        with torch.enable_grad():
            given = scores.detach().requires_grad_()
            checked, ends, _ = self._checked(given, lengths)
            total = torch.where(ends > 0, self._log_partition(checked, ends), 0.0).sum()
            (found,) = torch.autograd.grad(total, given)
        return found

    def _checked(self, scores: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores with zeros past the ends, the lengths, and the mask of real steps."""
        if scores.dim() != 3 or scores.shape[-1] != self.tags:
            raise ShapeError(f"scores have shape {tuple(scores.shape)}; expected (time, batch, {self.tags})")
        ends = torch.full((scores.shape[1],), scores.shape[0]) if lengths is None else lengths
        ends = ends.to(scores.device)
        real = real_steps(scores, ends)
        assert real is not None
        return scores.masked_fill(~real[..., None], 0.0), ends, real

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return transitions, starts and ends with what is forbidden."""
        return (
            self.transitions.masked_fill(self.between, _NEVER),
            self.starts.masked_fill(self.first, _NEVER),
            self.ends.masked_fill(self.last, _NEVER),
        )

    def _log_partition(self, scores: Tensor, ends: Tensor) -> Tensor:
        """Return the log of the sum over all tag sequences, `(batch,)`: the forward recursion, walked by the engine."""
        transitions, first, last = self._parts()
        if not scores.shape[0]:
            return scores.sum((0, 2))
        alpha = first + scores[0]
        if scores.shape[0] > 1:
            # one cell for all calls, so that it is compiled once; what it reads is said before each
            self._step.read(transitions)
            _, found = scan(self._step, scores[1:], alpha, lengths=(ends - 1).clamp_min(0))
            alpha = leaves(found)[0]
            self._step.read(transitions.detach())  # a module that holds results of a computation cannot be copied
        return torch.logsumexp(alpha + last, -1)

    def _score(self, scores: Tensor, targets: Tensor, ends: Tensor, real: Tensor) -> Tensor:
        transitions, first, last = self._parts()
        if not scores.shape[0]:
            return scores.sum((0, 2))
        own = (scores.gather(-1, targets[..., None])[..., 0] * real).sum(0)
        moves = (transitions[targets[:-1], targets[1:]] * real[1:]).sum(0)
        final = targets.gather(0, (ends - 1).clamp_min(0)[None])[0]
        return own + moves + first[targets[0]] + last[final]


class _Step(nn.Module):
    """One step of the forward recursion: `log(exp(alpha) exp(T)) + scores`, the largest of each taken out before."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: Tensor
        self.register_buffer("weights", torch.zeros(0), persistent=False)
        self.register_buffer("largest", torch.zeros(1), persistent=False)

    def read(self, transitions: Tensor) -> None:
        """Use these transitions from now on."""
        largest = transitions.detach().max().reshape(1)
        self.weights, self.largest = torch.exp(transitions - largest), largest

    def forward(self, scores: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """Go on by one tag."""
        top = alpha.amax(-1, keepdim=True)
        total = (alpha - top).exp() @ self.weights
        # what no path comes to stays far below everything else, without an infinity
        alpha = total.clamp_min(1e-30).log() + (top + self.largest) + scores
        return alpha, alpha


def _path(history: list[Tensor], came: list[Tensor], end: int, last: Tensor) -> list[int]:
    if end == 0:
        return []
    path = [int((history[end - 1] + last).argmax())]
    for back in reversed(came[: end - 1]):
        path.append(int(back[path[-1]]))
    return path[::-1]


def forbidden_transitions(tags: Sequence[str], scheme: Literal["BIO", "IOBES"] = "BIO") -> Forbidden:
    """Return what a grammar of spans forbids: in BIO, `I-X` comes only after `B-X` or `I-X`.

    Args:
        tags: names such as `O`, `B-PER`, `I-PER`; with IOBES also `E-PER` (the end) and `S-PER` (a span of one).
        scheme: the grammar.

    Raises:
        UsageError: a name is not of the scheme.

    >>> forbidden = forbidden_transitions(["O", "B-X", "I-X"])
    >>> forbidden.between.tolist()
    [[False, False, True], [False, False, False], [False, False, False]]
    >>> forbidden.first.tolist()
    [False, False, True]
    """
    parts = [_parsed(tag, scheme) for tag in tags]
    between = torch.tensor([[not _may_follow(a, b, scheme) for b in parts] for a in parts])
    first = torch.tensor([not _may_follow(("O", ""), own, scheme) for own in parts])
    last = torch.tensor([not _may_follow(own, ("O", ""), scheme) for own in parts])
    return Forbidden(between, first, last)


def _parsed(tag: str, scheme: str) -> tuple[str, str]:
    kind, _, name = tag.partition("-")
    if kind not in scheme or bool(name) != (kind != "O"):
        letters = "B-, I-" if scheme == "BIO" else "B-, I-, E-, S-"
        raise UsageError(f'tag "{tag}" is not of the scheme {scheme}; expected "O" or a name after {letters}')
    return kind, name


def _may_follow(before: tuple[str, str], after: tuple[str, str], scheme: str) -> bool:
    goes_on = after[0] in ("I", "E")
    if scheme == "BIO":
        return not goes_on or (before[0] in ("B", "I") and before[1] == after[1])
    is_open = before[0] in ("B", "I")
    return goes_on == is_open and (not goes_on or before[1] == after[1])
