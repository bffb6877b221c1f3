"""Attention: which steps of a memory a query looks at. One kind a file, one way of calling all of them.

`prepare(memory, lengths)` projects the keys once; calling the attention with queries gives contexts and weights.
"""

from ostinato.nn.attention.additive import AdditiveAttention
from ostinato.nn.attention.location import LocationAttention
from ostinato.nn.attention.memory import Attention, Memory
from ostinato.nn.attention.monotonic import MonotonicAttention
from ostinato.nn.attention.multihead import MultiHeadAttention
from ostinato.nn.attention.multiplicative import DotAttention, GeneralAttention

__all__ = [
    "AdditiveAttention",
    "Attention",
    "DotAttention",
    "GeneralAttention",
    "LocationAttention",
    "Memory",
    "MonotonicAttention",
    "MultiHeadAttention",
]
