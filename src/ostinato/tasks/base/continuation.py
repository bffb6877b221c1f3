"""How probable a text goes on in some way: what models of language offer to other tasks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Continuation(Protocol):
    """A model of language, read token by token from many places at once.

    A state stands for the text of a line so far; it is never changed, so that several texts may share one.
    """

    @property
    def level(self) -> str:
        """What a token is: `"character"`, `"word"` or `"subword"`."""

    def start(self) -> Any:
        """Return the state at the beginning of a line."""

    def scores(self, state: Any, tokens: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the logarithm of the probability that each of some tokens comes next, `(tokens,)`.

        Tokens that are not known have that of the unknown one.
        """

    def score(self, state: Any, text: str) -> float:
        """Return the logarithm of the probability that a text comes next, whatever tokens it has."""

    def advance(self, state: Any, text: str) -> Any:
        """Return the state after a text."""

    def end(self, state: Any) -> float:
        """Return the logarithm of the probability that the line ends."""
