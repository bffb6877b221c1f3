"""The command line: one file a verb; it parses, calls and prints."""

from ostinato.cli.main import main

__all__ = ["main"]
