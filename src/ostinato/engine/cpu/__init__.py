"""The CPU engine: what lowers a captured cell to machine code through LLVM."""
