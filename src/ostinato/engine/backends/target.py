"""The machine that code is made for, as a value that is passed: nothing that makes code asks which machine it is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """A machine; where two are equal, so is the code made for them.

    >>> Target("cpu", "x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 32, 16).width(4)
    8
    """

    kind: str
    """As PyTorch names devices: `cpu`, `cuda`."""
    triple: str = ""
    """Instruction set, maker and system, as LLVM names them."""
    processor: str = ""
    features: str = ""
    """Extensions of the instruction set that code may and may not use."""
    vector_bytes: int = 16
    registers: int = 16
    """How many vectors they hold."""
    fused: bool = True
    """Whether products of matrices fuse each product with its sum, rounded once; if not, both are rounded."""
    products: Literal["full", "bfloat16", "bfloat16 emulated", "int8 weights"] = "full"
    """What products of matrices are made of where the rest is float32: float32 too; bfloat16 with sums of float32, by
    the processor's instructions for that or by others; weights of 8 bits, a scale for each output."""

    def width(self, itemsize: int) -> int:
        """Return how many numbers of so many bytes a vector holds."""
        return self.vector_bytes // itemsize
