"""A classifier of texts that answers line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ostinato.errors import StreamRowError
from ostinato.streaming import Steps, Stream


class TextStream(Stream):
    """Texts, one a push, each answered by itself; nothing is kept from one to the next."""

    kind = "text"
    takes_text: ClassVar[bool] = True

    def __init__(self, answer: Callable[[str], Mapping[str, Any]]) -> None:
        self._answer = answer

    def steps(self, line: Any) -> Steps:
        """Return the label of a text, its probability and those of all classes.

        Raises:
            StreamRowError: it is no text.
        """
        if isinstance(line, Mapping) and isinstance(line.get("text"), str):
            line = line["text"]
        if not isinstance(line, str):
            raise StreamRowError(f'it is a {type(line).__name__}; expected a text, or {{"text": "..."}}')
        return self._answer(line)
        yield  # nothing is asked for: it is all answered by itself

    def reset(self) -> None:
        """Nothing is kept."""
