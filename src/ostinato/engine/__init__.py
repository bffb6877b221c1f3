"""Running a cell over time: from the `front`, which traces a cell, over the `plan`, which is data, to the `backends`.

`run.scan` is the public face, and `run.reference` the oracle; `backends` holds one folder for each kind of machine.
"""

from ostinato.engine.front.state import State, call_cell, initial_state, leaves, map_state
from ostinato.engine.plan.linear import parallel_in_time
from ostinato.engine.run.compiled import release_memory
from ostinato.engine.run.explain import Explanation, explain
from ostinato.engine.run.explain import compile_cell as compile  # noqa: A004 - as `torch.compile`
from ostinato.engine.run.scan import scan
from ostinato.engine.run.schedule import Checkpointing

__all__ = [
    "Checkpointing",
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
