"""What the data and the time decide for parameters of a sequence classifier that are left open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.near import NearPlan
from ostinato.tasks.classify.parameters import SequenceParameters
from ostinato.tasks.classify.wide_plan import WidePlan

FOLDS = 5
_STEPS, _READ = 128, 32  # steps that convolutions give, and that the recurrence reads of them, about
_WIDE_SECONDS, _WIDE_LIMITED, _WIDE_SHARE = 25.0, 45.0, 0.3  # for random convolutions, at most; of a time limit
_NEAR_SECONDS, _NEAR_SHARE, _NEAR_ANSWERS = 8.0, 0.1, 0.01  # for neighbours, at most; of a limit; for one answer
_ANSWERS = 0.1  # seconds that the random convolutions of one answer take, at most
_ANSWERED_MEANWHILE = 500  # answers that take no longer than the fit
_TESTED_SHARE = 0.15  # of a time limit, for the random convolutions of the test part
_TRAINING_LEAST = 0.35  # of a time limit
_RATE = 2e10  # floating-point operations a second
_BUDGET = 60 * _RATE  # of a training: about a minute of one core
_LEAST, _MOST = 250, 700  # steps of training
_LONG = 300
# of sounds, of which the more passes tell more: in some two minutes, and where a time limit ends the training anyway
_SOUND_BUDGET, _SOUND_MOST, _SOUND_LIMITED = 4e12, 1750, 6000
_MANY = 2000  # examples, from which on there are fewer networks
_FEW_STEPS = 100  # of training: with no more there is one network fewer


@dataclass(frozen=True)
class Plan:
    """What was decided.

    Args:
        convolutions: channels after each block of convolutions.
        stride: steps from one of their outputs to the next; every: of these, steps that the recurrence reads as one.
        members: networks.
        wide: the random convolutions.
        near: the neighbours.
        training_seconds: the time limit of the training: what the fit's leaves of it; `None`: there is none.
        smaller: what was made smaller to keep the time limit, in words.
    """

    convolutions: tuple[int, ...]
    stride: int
    every: int
    members: int
    wide: WidePlan
    near: NearPlan = field(default_factory=NearPlan)
    training_seconds: float | None = None
    smaller: tuple[str, ...] = ()

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
        wide, smaller = _wide(parameters, encoder, causal)
        plan = cls(convolutions, stride, every, parameters.members or (3 if count <= _MANY else 2), wide)
        plan = replace(plan, near=_near(parameters, encoder, wide))
        limited = plan._limited(parameters, encoder)
        if parameters.members is None and limited._steps_within(parameters, encoder) < _FEW_STEPS and plan.members > 2:
            limited = replace(plan, members=2)._limited(parameters, encoder)
            smaller.append("2 networks in place of 3")
        return replace(limited, smaller=tuple(smaller))

    def _limited(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> Plan:
        """Return it with the time limit of the training: that of the fit without what else takes time in it."""
        limit = parameters.max_seconds
        if limit is None:
            return self
        left_out = 1 / FOLDS  # of each network's; with the test part as many examples more, read by all of them
        tested = encoder.count * parameters.test / (1 - parameters.test)
        answers = (left_out * encoder.count + tested) * encoder.lengths[1] * self._operations(parameters, encoder) / 3
        answered = self.wide.answer_seconds + self.near.answer_seconds
        other = self.wide.seconds + self.near.seconds + tested * answered + answers / _RATE
        return replace(self, training_seconds=max(limit - other, _TRAINING_LEAST * limit))

    def _steps_within(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> float:
        """Return about how many steps of training there is time for."""
        if self.training_seconds is None:
            return math.inf
        return self.training_seconds * _RATE / self._step_operations(parameters, encoder)

    def epochs(self, parameters: SequenceParameters, encoder: ChannelEncoder, count: int) -> int:
        """Return the passes that a training of so many examples takes by default."""
        batches = math.ceil(count / parameters.batch_size)
        budget, most = (_BUDGET, _MOST) if encoder.reading.sound is None else (_SOUND_BUDGET, _SOUND_MOST)
        steps = budget / self._step_operations(parameters, encoder)
        steps = min(max(steps, _LEAST), most)
        if encoder.reading.sound is not None and parameters.max_seconds is not None:
            steps = _SOUND_LIMITED
        return max(4 if budget / self._step_operations(parameters, encoder) > _LEAST else 2, math.ceil(steps / batches))

    def _step_operations(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> float:
        size = min(parameters.batch_size, encoder.count)
        return size * encoder.lengths[1] * self._operations(parameters, encoder)

    def _operations(self, parameters: SequenceParameters, encoder: ChannelEncoder) -> float:
        """Return about how many floating-point operations a step of a sequence takes in training, of all members."""
        before = 2 * (encoder.width + len(encoder.channels) * self.wide.shaped)
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
        limit = {} if self.training_seconds is None else {"seconds of training": round(self.training_seconds, 1)}
        return {
            "convolutions": self.convolutions,
            "stride": self.stride,
            "steps read as one by the recurrence": self.every,
            "members": self.members,
            "kernels": self.wide.kernels,
            "kernels that compete": self.wide.competing,
            "steps read as one by the kernels": self.wide.coarser,
            "neighbours": self.near.count,
            **limit,
        }


def _wide(parameters: SequenceParameters, encoder: ChannelEncoder, causal: bool) -> tuple[WidePlan, list[str]]:
    """Return the random convolutions, and what of them was made smaller for a time limit."""
    limit = parameters.max_seconds
    kernels = 0 if causal and parameters.kernels is None else parameters.kernels
    seconds = _WIDE_SECONDS if limit is None else min(_WIDE_LIMITED, _WIDE_SHARE * limit)
    answer = _ANSWERS
    if limit is not None:
        tested = encoder.count * parameters.test / (1 - parameters.test)
        answer = min(answer, limit / _ANSWERED_MEANWHILE, _TESTED_SHARE * limit / max(tested, 1.0))
    read = encoder.width - encoder.masked * len(encoder.channels)  # marks of what is missing are not convolved
    sizes = (encoder.count, encoder.lengths, read, len(encoder.classes))
    found = WidePlan.within(
        *sizes, kernels=kernels, seconds=seconds, answer=answer, shaped=encoder.shaped and not causal
    )
    return found, found.smaller if limit is not None else []


def _near(parameters: SequenceParameters, encoder: ChannelEncoder, wide: WidePlan) -> NearPlan:
    """Return what there is time to compare; nothing where there are no random convolutions either, as in a stream."""
    if not encoder.near or not wide.kernels:
        return NearPlan()
    limit = parameters.max_seconds
    seconds = _NEAR_SECONDS if limit is None else min(_NEAR_SECONDS, _NEAR_SHARE * limit)
    answer = _NEAR_ANSWERS if limit is None else min(_NEAR_ANSWERS, limit / _ANSWERED_MEANWHILE)
    sizes = (encoder.count, encoder.lengths, len(encoder.channels), len(encoder.classes))
    return NearPlan.within(*sizes, seconds=seconds, answer=answer, shaped=encoder.shaped)
