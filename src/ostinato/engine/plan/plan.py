"""The plan of a cell as data: its programs, what passes between them, and what is computed outside of all steps."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.formulas import Formulas
from ostinato.engine.plan.graph import Node, Shape
from ostinato.engine.plan.signature import Signature
from ostinato.engine.plan.step import Work


@dataclass(frozen=True)
class Sink:
    """Where a program's result goes.

    `stream` is kept for every row and step, `carry` becomes the state of the next step, `total` is summed over steps.
    """

    kind: str
    index: int
    node: Node


@dataclass(frozen=True)
class Program:
    """What is done for one row at one step; a backend turns it into a loop over steps."""

    sinks: tuple[Sink, ...]
    carries: tuple[Shape, ...]

    def inputs(self, kind: str) -> dict[int, Node]:
        """Return the inputs of one kind that are read, by index."""
        found = [node for node in g.topological(sink.node for sink in self.sinks) if node.op == "input"]
        return {node.attr[1]: node for node in found if node.attr[0] == kind}

    def of(self, kind: str) -> list[Sink]:
        """Return the sinks of one kind."""
        return [sink for sink in self.sinks if sink.kind == kind]


@dataclass(frozen=True)
class Factor:
    """One factor of an outer product over all steps: a stream, and the views that are taken of each row of it."""

    kind: str
    """`x`, `saved` (from the forward program) or `stream` (from the backward program)."""
    index: int
    views: tuple[Node, ...]
    """From the source up."""


@dataclass(frozen=True)
class Contraction:
    """A sum over rows and steps; the formulas of the weights take the sums in order."""

    factors: tuple[Factor, Factor] | None
    """The two factors of an outer product, or none for a plain sum, which the program has totalled in `total`."""
    total: int
    shape: Shape


@dataclass(frozen=True)
class Plan:
    """All that is needed to run a cell over time, forward and backward, by any backend.

    Streams of the forward program: 0 is the output, then what is saved. Streams of the backward program: 0 is the
    gradient of x (if wanted), then factors of outer products. Carries are the leaves of the state.
    """

    signature: Signature
    work: Work
    constants: Formulas
    """From parameters to what the programs take as constants."""
    outputs: tuple[Shape, ...]
    infer: Program
    """Forward, nothing saved."""
    forward: Program
    """Forward, with what the backward program needs saved."""
    backward: Program | None
    saved: tuple[Node, ...]
    contractions: tuple[Contraction, ...]
    weights: Formulas | None
    """From parameters and contractions to gradients of the parameters."""
    has_dx: bool

    def to_json(self) -> str:
        """Write the plan down.

        Raises:
            UsageError: outside of its steps it computes with an operation that a file cannot hold; the message has it.
        """
        from ostinato.engine.plan.written import to_json

        return to_json(self)

    @staticmethod
    def from_json(text: str) -> Plan:
        """Read a plan that was written down: it gives the same bits.

        Raises:
            CorruptArtifact: it is cut short, changed, or no plan.
            NewerArtifact: it was written by a newer version.
        """
        from ostinato.engine.plan.written import from_json

        return from_json(text)
