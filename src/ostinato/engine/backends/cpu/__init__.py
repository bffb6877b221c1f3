"""The engine's backend for CPUs: programs become LLVM code for the machine that the process runs on."""
