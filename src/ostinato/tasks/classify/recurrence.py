"""What classifiers of texts and of sequences have in common: a recurrent stack or a Transformer, and pooling."""

from __future__ import annotations

from typing import Any

from ostinato.nn import Recurrent, weight_drop
from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.tasks.classify.parameters import SequenceParameters, TextParameters
from ostinato.tasks.classify.pooling import Pooling


def stack_and_pooling(own: TextParameters | SequenceParameters, size: int) -> tuple[Any, Pooling]:
    """Return the stack that reads `size` features a step, and the pooling of its outputs.

    Raises:
        UsageError: the parameters do not go together.
    """
    stack: Any = stack_of(
        own.cell, size, own.hidden_size, own.num_layers, dropout=own.dropout, bidirectional=own.bidirectional,
        **({"variational": True} if own.cell != TRANSFORMER else {}),
    )  # fmt: skip
    if own.weight_drop:
        weight_drop(stack, "recurrent.weight", own.weight_drop)
    width = own.hidden_size * (2 if own.bidirectional else 1)
    two_ways = own.bidirectional and isinstance(stack, Recurrent)
    return stack, Pooling(own.pooling, width, two_ways=two_ways)
