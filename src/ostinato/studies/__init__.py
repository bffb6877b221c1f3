"""Studies of many fits: cells side by side, and the search for good parameters."""
