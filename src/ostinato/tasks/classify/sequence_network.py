"""The network of a sequence classifier: several deep networks of one kind, and a wide branch that is solved for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn import VariationalDropout
from ostinato.nn.multi_scale import MultiScaleConvolutions
from ostinato.nn.norms import steps_mask
from ostinato.nn.pooling import Pooling
from ostinato.tasks.base.members import mean_probability
from ostinato.tasks.classify.augmenting import Augmentation
from ostinato.tasks.classify.bands import BandAugmentation
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.near import NearBranch
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.plan import Plan
from ostinato.tasks.classify.recurrence import stack_and_pooling
from ostinato.tasks.classify.shapes import shapes_of
from ostinato.tasks.classify.wide import WideBranch


class SequenceMember(nn.Module):
    """One deep network: convolutions of several widths, their mean over time beside a recurrent stack over them.

    Args:
        parameters: of the classifier.
        plan: what the data decided.
        encoder: what features there are.
    """

    def __init__(self, parameters: SequenceParameters, plan: Plan, encoder: ChannelEncoder) -> None:
        super().__init__()
        given, self.channels, self.masked = parameters, len(encoder.channels), encoder.masked
        self.shaped = plan.wide.shaped
        size = encoder.width + self.channels * self.shaped
        self.every = plan.every
        self.convolutions: MultiScaleConvolutions | None = None
        if plan.convolutions:
            self.convolutions = MultiScaleConvolutions(
                2 * size, plan.convolutions, width=given.width, stride=plan.stride, causal=not given.bidirectional
            )
            size = plan.convolutions[-1]
        self.input_dropout = VariationalDropout(given.input_dropout)
        self.stack, self.pooling = stack_and_pooling(given, size)
        self.dropout = nn.Dropout(given.dropout)
        convolved = 0 if self.convolutions is None else size
        self.head = nn.Linear(self.pooling.output_size + convolved, len(encoder.classes))

    def forward(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)` of features `(time, batch, features)`."""
        scores: Tensor = self.head(self.dropout(self.pooled(xs, lengths)))
        return scores

    def pooled(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return what is known of each whole sequence, `(batch, width)`."""
        read, counts, convolved = self.front(xs, lengths)
        ys, _ = self.stack(read, lengths=counts)
        pooled: Tensor = self.pooling(ys, counts)
        return pooled if convolved is None else torch.cat([pooled, convolved], -1)

    def front(self, xs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return what the stack reads, its lengths, and the mean of the convolutions over time, if there are any."""
        if self.shaped:  # beside values of all sizes, what each sequence is by itself
            shapes = shapes_of(xs, lengths, self.channels, self.masked)
            xs = torch.cat([torch.asinh(xs[..., : self.channels]), shapes, xs[..., self.channels :]], -1)
        if self.convolutions is None:
            return self.input_dropout(_every(xs, lengths, self.every)), _fewer(lengths, self.every), None
        changes = torch.diff(xs, dim=0, prepend=xs[:1])
        real = steps_mask(xs, lengths)
        assert real is not None
        both = torch.cat([xs, changes.masked_fill(~real[..., None], 0.0)], -1)
        rows, counts = self.convolutions(both, lengths)
        mean = rows.sum(0) / counts[:, None]
        return self.input_dropout(_every(rows, counts, self.every)), _fewer(counts, self.every), mean

    def attended(self, xs: Tensor, lengths: Tensor) -> Tensor | None:
        """Return the weight of each step in attention pooling, `(time, batch)`; `None`: there is none."""
        attention = self.pooling.attention
        if attention is None:
            return None
        read, counts, _ = self.front(xs, lengths)
        weights = attention.weights(self.stack(read, lengths=counts)[0], counts)
        repeats = -(-xs.shape[0] // weights.shape[0])
        return weights.repeat_interleave(repeats, 0)[: xs.shape[0]]


class SequenceNetwork(nn.Module):
    """Scores of classes for each sequence: what networks, a wide branch and neighbours say, weighed.

    Args:
        parameters: of the classifier.
        encoder: classes, channels and lengths of the training part.
    """

    shares: Tensor

    def __init__(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> None:
        super().__init__()
        plan = Plan.of(parameters, encoder)
        self.channels, self.value_dropout, self.masked = len(encoder.channels), parameters.value_dropout, encoder.masked
        self.augmentation = Augmentation(
            self.channels, parameters.augmentation, bend=not encoder.masked and encoder.gap is None
        )
        self.bands = None if encoder.reading.sound is None else BandAugmentation(self.channels, parameters.augmentation)
        self.members = nn.ModuleList(SequenceMember(parameters, plan, encoder) for _ in range(plan.members))
        self.wide: WideBranch | None = None
        if plan.wide.kernels:
            self.wide = WideBranch(plan.wide, values=self.channels, masked=self.masked)
        self.near = NearBranch(plan.near, masked=self.masked) if plan.near.count else None
        # until they are weighed by what they say of examples that they have not seen
        self.register_buffer("shares", torch.tensor([1.0, 0.0, *([0.0] if plan.near.count else [])]))
        self.left_out: list[Any] = []
        """What the branches that are not trained say of each training example without it, as long as it is fitted."""
        self.classes = len(encoder.classes)

    @property
    def pooling(self) -> Pooling:
        """How the members pool the outputs of steps."""
        found: Any = self.members[0]
        pooling: Pooling = found.pooling
        return pooling

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)`, or in training those of each member, `(members, batch, classes)`.

        Args:
            inputs: features `(time, batch, features)`.
            lengths: `(batch,)`, each one or more.
        """
        return self.member_scores(inputs, lengths) if self.training else self.scores(*self.front(inputs, lengths))

    def front(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the members read: features as they are."""
        return inputs, lengths

    def member_scores(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores of each member, `(members, batch, classes)`."""
        return torch.stack([member(self._changed(inputs, lengths), lengths) for member in self.members])

    def pooled(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return what the members know of each whole sequence, side by side, `(batch, members * width)`."""
        return torch.cat([member.pooled(xs, lengths) for member in self.members], -1)  # type: ignore[operator]

    def deep_scores(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of the members' mean probabilities, `(batch, classes)`."""
        return mean_probability(functional.log_softmax(self.member_scores(inputs, lengths), -1))

    def scores(self, xs: Tensor, lengths: Tensor) -> Tensor:
        """Return scores `(batch, classes)` of what the front gives."""
        found = self.shares[0] * self.deep_scores(xs, lengths)
        for share, beside in zip(self.shares[1:], self.beside, strict=False):
            if float(share):
                found = found + share * beside_scores(beside, xs, lengths)
        return found

    @property
    def beside(self) -> list[WideBranch | NearBranch]:
        """The branches that are not trained."""
        return [branch for branch in (self.wide, self.near) if branch is not None]

    def forget_near(self) -> None:
        """Do without the neighbours from now on."""
        self.near, self.shares = None, self.shares[:2].clone()

    def attended(self, xs: Tensor, lengths: Tensor) -> Tensor | None:
        """Return the mean weight that attention pooling gives each step, `(time, batch)`; `None`: there is none."""
        weights = [member.attended(xs, lengths) for member in self.members]  # type: ignore[operator]
        return None if weights[0] is None else torch.stack(weights).mean(0)

    def _changed(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return features as a training step sees them: augmented, some values hidden."""
        if not self.training:
            return features
        if self.bands is not None:
            features = self.bands(features)
        features = self.augmentation(features, lengths)
        if not self.value_dropout:
            return features
        count = self.channels
        lost = torch.rand(features[..., :count].shape, device=features.device) < self.value_dropout
        values = features[..., :count].masked_fill(lost, 0.0)
        marks = features[..., count : 2 * count].masked_fill(lost, 1.0)
        return torch.cat([values, marks, features[..., 2 * count :]], -1)


def beside_scores(branch: WideBranch | NearBranch, xs: Tensor, lengths: Tensor) -> Tensor:
    """Return what a branch that is not trained says, `(batch, classes)`, of features `(time, batch, features)`."""
    xs = xs.detach()
    scores: Tensor = branch([xs[:length, row] for row, length in enumerate(lengths.tolist())])
    return scores


def _fewer(lengths: Tensor, every: int) -> Tensor:
    return (lengths + every - 1) // every


def _every(xs: Tensor, lengths: Tensor, every: int) -> Tensor:
    """Return means of so many neighbouring steps, `(shorter time, batch, features)`; the last may have fewer."""
    if every == 1:
        return xs
    time, batch, size = xs.shape
    real = steps_mask(xs, lengths)
    assert real is not None
    padded = functional.pad(xs.masked_fill(~real[..., None], 0.0), (0, 0, 0, 0, 0, -time % every))
    counts = functional.pad(real.to(xs), (0, 0, 0, -time % every)).view(-1, every, batch).sum(1).clamp_min(1.0)
    return padded.view(-1, every, batch, size).sum(1) / counts[..., None]
