"""What the data decides for parameters of a sequence classifier that are left open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.parameters import SequenceParameters

FOLDS = 5
_STEPS, _READ = 128, 32  # steps that convolutions give, and that the recurrence reads of them, about
_KERNELS = 4998
_CELLS = 1.5e10  # outputs of random kernels held against thresholds: some 15 s
_BUDGET = 1.2e12  # floating-point operations of a training: about a minute of one core
_LEAST, _MOST = 250, 700  # steps of training
_LONG = 300
# of sounds, of which the more passes tell more: in some two minutes, and where a time limit ends the training anyway
_SOUND_BUDGET, _SOUND_MOST, _SOUND_LIMITED = 4e12, 1750, 6000
_MANY = 2000  # examples, from which on there are fewer networks


@dataclass(frozen=True)
class Plan:
    """What was decided.

    Args:
        convolutions: channels after each block of convolutions.
        stride: steps from one of their outputs to the next; every: of these, steps that the recurrence reads as one.
        members: networks; kernels: random convolutions of each kind.
        coarser: steps that the random convolutions read as one.
    """

    convolutions: tuple[int, ...]
    stride: int
    every: int
    members: int
    kernels: int
    coarser: int

    @classmethod
    def of(cls, parameters: SequenceParameters, encoder: ChannelEncoder) -> Plan:
        """Return what parameters ask for, and what follows from the training part for the others."""
        usual, count = encoder.lengths[1], encoder.count
        causal = not parameters.bidirectional
        # without a stride, which a model that streams steps has not, convolutions over long sequences take too long
        usually = () if causal and usual > _LONG else (32, 32, 32)
        convolutions = usually if parameters.convolutions is None else tuple(parameters.convolutions)
        convolutions = tuple(size for size in convolutions if size)
        least = 1 if encoder.reading.sound is None else 2  # frames of 10 ms overlap by more than a half
        stride = parameters.stride or (1 if causal else max(least, math.ceil(usual / _STEPS)))
        every = 1 if causal else max(1, round(min(usual / stride, _STEPS) / _READ))
        members = parameters.members or (3 if count <= _MANY else 2)
        coarser = max(1, math.ceil(usual / 2000))
        kernels = parameters.kernels
        if kernels is None:
            most = int(_CELLS / (2 * count * max(usual / coarser, 1)))
            kernels = 0 if causal else max(840, min(_KERNELS, most, 1260 if count > 1500 else _KERNELS))
        return cls(convolutions, stride, every, members, kernels, coarser)

    def epochs(self, parameters: SequenceParameters, encoder: ChannelEncoder, count: int) -> int:
        """Return the passes that a training of so many examples takes by default."""
        batches = math.ceil(count / parameters.batch_size)
        budget, most = (_BUDGET, _MOST) if encoder.reading.sound is None else (_SOUND_BUDGET, _SOUND_MOST)
        steps = budget / (parameters.batch_size * encoder.lengths[1] * self._operations(parameters, encoder))
        steps = min(max(steps, _LEAST), most)
        if encoder.reading.sound is not None and parameters.max_seconds is not None:
            steps = _SOUND_LIMITED
        return max(4, math.ceil(steps / batches))

    def _operations(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> float:
        """Return about how many floating-point operations a step of a sequence takes in training, of all members."""
        before = 2 * encoder.width
        convolved = 0.0
        sizes = [before, *self.convolutions]
        for a, b in zip(sizes, self.convolutions, strict=False):
            convolved += 2 * (a * b * 1.5 + (b / 4) ** 2 * parameters.width * 1.75)
        ways = 2 if parameters.bidirectional else 1
        hidden = parameters.hidden_size
        read = 2 * ways * parameters.num_layers * 3 * hidden * (hidden + (sizes[-1] if self.convolutions else before))
        return 3 * self.members * (convolved / self.stride + read / (self.stride * self.every)) + 100.0

    def settings(self) -> dict[str, Any]:
        """Return it in the words of the parameters."""
        return {
            "convolutions": self.convolutions,
            "stride": self.stride,
            "steps read as one by the recurrence": self.every,
            "members": self.members,
            "kernels": self.kernels,
        }
