"""Running a cell over time. `scan` is the public face; `reference` is the oracle, `cpu` the compiled backend."""

from ostinato.engine.compiled import release_memory
from ostinato.engine.explain import Explanation, explain
from ostinato.engine.explain import compile_cell as compile  # noqa: A004 - as `torch.compile`
from ostinato.engine.linear import parallel_in_time
from ostinato.engine.scan import scan
from ostinato.engine.state import State, call_cell, initial_state, leaves, map_state

__all__ = [
    "Explanation",
    "State",
    "call_cell",
    "compile",
    "explain",
    "initial_state",
    "leaves",
    "map_state",
    "parallel_in_time",
    "release_memory",
    "scan",
]
