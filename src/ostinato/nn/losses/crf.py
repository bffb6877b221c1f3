"""A linear-chain conditional random field: tags of a sequence judged together, not each for itself.

Sources: J. Lafferty, A. McCallum and F. Pereira, "Conditional random fields", 2001; over recurrent networks, G. Lample
et al., "Neural architectures for named entity recognition", 2016, section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError
from ostinato.nn.losses.crf_constraints import TagConstraints
from ostinato.nn.losses.crf_partition import log_partition
from ostinato.nn.losses.masking import (
    Reduction,
    check_classes,
    check_same,
    check_steps,
    checked_lengths,
    fill_padding,
    real_steps,
    reduce,
)

_NEVER = float("-inf")


class LinearChainCRF(nn.Module):
    """Scores for tags, for tags that follow each other, and for the first and the last one, trained by likelihood.

    Args:
        tags: how many.
        constraints: which sequences are possible, as `tag_constraints` makes them; `None`: all.

    Raises:
        UsageError: there is no tag, or the constraints are for another number of tags.

    Sources: Lafferty et al., 2001; Lample et al., 2016, section 2.2.

    >>> import torch
    >>> from ostinato.nn.losses import tag_constraints
    >>> crf = LinearChainCRF(3, tag_constraints(["O", "B-X", "I-X"]))
    >>> scores, tags = torch.randn(4, 2, 3), torch.tensor([[0, 1], [1, 2], [2, 0], [0, 0]])
    >>> loss = crf(scores, tags, lengths=torch.tensor([4, 2]))
    >>> best, score = crf.decode(scores)
    >>> tuple(best.shape), tuple(crf.marginals(scores).shape)
    ((4, 2), (4, 2, 3))
    """

    allowed: Tensor
    allowed_start: Tensor
    allowed_end: Tensor

    def __init__(self, tags: int, constraints: TagConstraints | None = None) -> None:
        super().__init__()
        if tags < 1:
            raise UsageError(f"tags is {tags}; expected 1 or more")
        if constraints is None:
            every = torch.ones(tags, dtype=torch.bool)
            constraints = TagConstraints(every.expand(tags, tags).clone(), every, every.clone())
        if constraints.transitions.shape != (tags, tags):
            raise UsageError(f"the constraints are for {constraints.start.shape[0]} tags; expected {tags}")
        self.transitions = nn.Parameter(torch.empty(tags, tags).uniform_(-0.1, 0.1))
        self.start = nn.Parameter(torch.empty(tags).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(tags).uniform_(-0.1, 0.1))
        self.register_buffer("allowed", constraints.transitions)
        self.register_buffer("allowed_start", constraints.start)
        self.register_buffer("allowed_end", constraints.end)

    def forward(
        self, scores: Tensor, tags: Tensor, lengths: Tensor | None = None, *, reduction: Reduction = "mean"
    ) -> Tensor:
        """Return the negative log-likelihood of each row's tags.

        Args:
            scores: `(time, batch, tags)`, as a network gives them, unnormalised; 16-bit ones are computed in float32.
            tags: `(time, batch)`; what stands in padding is not read.
            lengths: `(batch,)`, 1 or more; `None` if all steps are real.
            reduction: "mean" divides by the number of rows, "sum", or "none", `(batch,)`.

        Raises:
            ShapeError: shapes do not fit each other, or a length is out of range.
            UsageError: a real tag is no class, or the tags of a row are forbidden, or all of its sequences are.
        """
        scores, lengths = self._checked(scores, lengths)
        check_same(tags, scores.shape[:2], "tags", "(time, batch) as scores")
        real = real_steps(lengths, scores.shape[0])
        check_classes(tags, real, self.start.shape[0], "tags")
        tags = tags.masked_fill(~real, 0).long()
        self._check_allowed(tags, real, lengths)
        losses = self._log_partition(scores, lengths) - self._score(scores, tags, real, lengths)
        return reduce(losses, losses.shape[0], reduction)

    def decode(self, scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each row's best tags, `(time, batch)`, -1 in padding, and their score, `(batch,)`, by Viterbi.

        Args:
            scores: `(time, batch, tags)`, as in `forward`.
            lengths: `(batch,)`, 1 or more; `None` if all steps are real.

        Raises:
            ShapeError: shapes do not fit each other, or a length is out of range.
            UsageError: all sequences of a row are forbidden.
        """
        with torch.no_grad():
            scores, lengths = self._checked(scores, lengths)
            transitions, start, end = self._constrained(scores.dtype)
            best, moves = _best_scores(scores, transitions, start, lengths)
            total, tag = (best + end).max(-1)
            _check_possible(total)
            path = torch.empty(scores.shape[:2], dtype=torch.int64, device=scores.device)
            for step in range(scores.shape[0] - 1, -1, -1):
                path[step] = tag
                tag = moves[step].gather(1, tag[:, None])[:, 0]
            return path.masked_fill(~real_steps(lengths, scores.shape[0]), -1), total

    def marginals(self, scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the probability of each tag at each step, `(time, batch, tags)`, zero in padding, not differentiable.

        They are the gradient of the log-partition by the scores, and are computed as that.

        Args:
            scores: `(time, batch, tags)`, as in `forward`.
            lengths: `(batch,)`, 1 or more; `None` if all steps are real.

        Raises:
            ShapeError: shapes do not fit each other, or a length is out of range.
            UsageError: all sequences of a row are forbidden.
        """
        scores, lengths = self._checked(scores.detach(), lengths)
        with torch.enable_grad():
            total = self._log_partition(scores.requires_grad_(), lengths).sum()
            return torch.autograd.grad(total, scores)[0]

    def _checked(self, scores: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the scores with zeros in padding, and the lengths."""
        check_steps(scores, 3, "(time, batch, tags)", "scores")
        steps, batch, _ = scores.shape
        check_same(scores, (steps, batch, self.start.shape[0]), "scores", "one number a tag of this layer")
        lengths = checked_lengths(lengths, steps, batch, scores.device, least=1)
        filled = fill_padding(scores, real_steps(lengths, steps))
        return filled.float() if filled.dtype in (torch.float16, torch.bfloat16) else filled, lengths

    def _constrained(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return transitions, start and end scores with -inf where forbidden."""
        return (
            self.transitions.to(dtype).masked_fill(~self.allowed, _NEVER),
            self.start.to(dtype).masked_fill(~self.allowed_start, _NEVER),
            self.end.to(dtype).masked_fill(~self.allowed_end, _NEVER),
        )

    def _log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        total = log_partition(scores, *self._constrained(scores.dtype), lengths)
        _check_possible(total)
        return total

    def _score(self, scores: Tensor, tags: Tensor, real: Tensor, lengths: Tensor) -> Tensor:
        """Return the score of the given tags, `(batch,)`."""
        emitted = scores.gather(-1, tags[..., None])[..., 0].masked_fill(~real, 0.0).sum(0)
        moved = self.transitions[tags[:-1], tags[1:]].masked_fill(~real[1:], 0.0).sum(0)
        last = tags.gather(0, (lengths - 1)[None])[0]
        return emitted + moved + self.start[tags[0]] + self.end[last]

    def _check_allowed(self, tags: Tensor, real: Tensor, lengths: Tensor) -> None:
        last = tags.gather(0, (lengths - 1)[None])[0]
        bad_move = ~self.allowed[tags[:-1], tags[1:]] & real[1:]
        for wrong, what in (
            (~self.allowed_start[tags[:1]], "may not begin a sequence"),
            (bad_move, "may not be followed by the next tag"),
            (~self.allowed_end[last[None]], "may not end a sequence"),
        ):
            if bool(wrong.any()):
                step, row = wrong.nonzero()[0].tolist()
                step = int(lengths[row]) - 1 if what.endswith("end a sequence") else step
                raise UsageError(
                    f"row {row}, step {step}: tag {int(tags[step, row])} {what} under the constraints; "
                    "mend the tags or leave the constraints out"
                )


def _best_scores(scores: Tensor, transitions: Tensor, start: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best score that ends in each tag at the row's last step, `(batch, tags)`, and each one's forerunner.

    In padding a tag is its own forerunner.
    """
    itself = torch.arange(scores.shape[-1], device=scores.device)
    best = scores[0] + start
    moves = itself.expand(scores.shape).clone()
    for step in range(1, scores.shape[0]):
        reached, before = (best[:, :, None] + transitions).max(1)
        running = (lengths > step)[:, None]
        best = torch.where(running, reached + scores[step], best)
        moves[step] = torch.where(running, before, itself)
    return best, moves


def _check_possible(total: Tensor) -> None:
    if bool((total == _NEVER).any()):
        row = int((total == _NEVER).nonzero()[0])
        raise UsageError(f"row {row}: the constraints forbid every sequence of its length")
