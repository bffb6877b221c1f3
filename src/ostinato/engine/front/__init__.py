"""From a cell to its step as data: what it reads is looked at, one step is traced, and the trace becomes a graph."""
