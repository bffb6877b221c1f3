"""What classifiers of texts and of sequences have in common: a recurrent stack or a Transformer, and pooling."""

from __future__ import annotations

from typing import Any

from ostinato.nn import Recurrent, weight_drop
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.nn.pooling import Pooling
from ostinato.tasks.classify.parameters import SequenceParameters, TextParameters


def stack_and_pooling(parameters: TextParameters | SequenceParameters, size: int) -> tuple[Any, Pooling]:
    """Return the stack that reads `size` features a step, and the pooling of its outputs.

    Raises:
        UsageError: the parameters do not go together.
    """
    stack: Any = stack_of(
        parameters.cell, size, parameters.hidden_size, parameters.num_layers,
        dropout=parameters.dropout, bidirectional=parameters.bidirectional,
        **({"variational": True} if parameters.cell != TRANSFORMER else {}),
    )  # fmt: skip
    if parameters.weight_drop:
        weight_drop(stack, "recurrent.weight", parameters.weight_drop)
    width = parameters.hidden_size * (2 if parameters.bidirectional else 1)
    two_ways = parameters.bidirectional and isinstance(stack, Recurrent)
    return stack, Pooling(parameters.pooling, width, two_ways=two_ways)
