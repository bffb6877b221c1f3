"""What is done at a step, as data: the graph, its division into programs, and what can be read off them.

Nothing here knows a cell or a machine: the front makes plans of cells, the backends run them.
"""
