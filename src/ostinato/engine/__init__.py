"""Running a cell over time. `scan` is the public face; `reference` is the oracle."""

from ostinato.engine.scan import scan
from ostinato.engine.state import State, call_cell, initial_state, leaves, map_state

__all__ = ["State", "call_cell", "initial_state", "leaves", "map_state", "scan"]
