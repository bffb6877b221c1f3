"""Lines as a language model reads them: how well each was predicted, token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.text import Vocabulary
from ostinato.engine import State
from ostinato.errors import StreamRowError
from ostinato.nn.losses import perplexity
from ostinato.streaming import NOTHING, Steps, Stream, checked_layers, refused, to_arrays, weights_mark
from ostinato.tasks.language.mixing import Mixture
from ostinato.tasks.language.network import LanguageNetwork
from ostinato.tasks.language.reading import known_losses
from ostinato.tasks.language.texts import Level
from ostinato.tasks.language.tokens_as_text import beginning, named

_PIECE = 512
_SCORES = 1 << 22


class LanguageStream(Stream):
    """A language model that reads line after line and remembers those before; see `LanguageModel.stream`.

    Args:
        network: in evaluation mode.
        vocabulary: its own.
        level: what a token is.
        mixture: the n-grams that the network is mixed with, `None` for none.
    """

    kind = "language"
    takes_text: ClassVar[bool] = True
    """A row is a line as it stands, whatever it begins with."""

    def __init__(
        self, network: LanguageNetwork, vocabulary: Vocabulary, level: Level, mixture: Mixture | None = None
    ) -> None:
        self.network, self.vocabulary, self.level, self.mixture = network, vocabulary, level, mixture
        self._reach = 1 if mixture is None else max(1, mixture.reach)
        self._begin = beginning("", vocabulary, level)[-1]
        self._state: State | None = None
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self._read_last, self._state = [self._begin], None

    def steps(self, row: str | Mapping[str, Any]) -> Steps:
        """Read a line, its end included, and say how well it was predicted.

        Args:
            row: the line, or a mapping whose `"text"` it is.

        Returns:
            `perplexity` and `bits` a token, how many `tokens`, how many of them `unknown`, and for each
            its `surprisal` in bits, in pairs.

        Raises:
            StreamRowError: a mapping has no such text.
        """
        tokens = np.array(self._encoded(_text(row)), np.int64)
        yield NOTHING  # a line is read at once, and not token by token beside other streams
        losses = self._read(tokens)
        bits = losses / math.log(2.0)
        mean = float(losses.mean())
        pairs = zip(named(tokens, self.vocabulary, self.level), bits.round(3).tolist(), strict=True)
        return {
            "perplexity": perplexity(mean),
            "bits": float(bits.mean()),
            "tokens": len(tokens),
            "unknown": int((tokens == self.vocabulary.specials.unk).sum()),
            "surprisal": [list(pair) for pair in pairs],
        }

    def mark(self) -> str:
        """Return what tells the model from others."""
        return weights_mark(self.network)

    def kept(self) -> dict[str, Any]:
        """Return the last tokens, and the state of the layers."""
        return {"last": list(self._read_last), "state": None if self._state is None else to_arrays(self._state)}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Go on after the lines of a state."""
        last, state = kept.get("last"), kept.get("state")
        if not isinstance(last, list) or not 1 <= len(last) <= self._reach:
            raise refused("has other last tokens than this model looks at")
        if any(type(each) is not int or not 0 <= each < len(self.vocabulary) for each in last):
            raise refused("has a last token that the vocabulary has not")
        self._state = None if state is None else checked_layers(state, self.network.stack)
        self._read_last = list(last)

    def _encoded(self, line: str) -> list[int]:
        """Return the tokens of a line and its end."""
        specials = self.vocabulary.specials
        tokens = self.vocabulary.encode(line)
        if self.level != "character":
            return [*tokens, specials.eos]
        end = self.vocabulary.encode("\n")[0]
        # a text of one line has no character for its end
        return tokens if end == specials.unk and tokens else [*tokens, end]

    def _read(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss of each token, `(tokens,)`, and continue from there."""
        before = len(self._read_last)
        text = np.concatenate([np.array(self._read_last, np.int64), tokens])
        given = torch.from_numpy(text)
        losses = np.empty(len(tokens))
        together = max(1, min(_PIECE, _SCORES // len(self.vocabulary)))
        with torch.inference_mode():
            for start in range(before - 1, len(text) - 1, together):
                stop = min(start + together, len(text) - 1)
                features, _, self._state = self.network.read(given[start:stop, None], self._state)
                known, _ = known_losses(self.network.scores(features[:, 0]), text, start, stop, self.mixture)
                losses[start - before + 1 : stop - before + 1] = known.numpy()
        self._read_last = text[-self._reach :].tolist()
        return losses


def _text(row: str | Mapping[str, Any]) -> str:
    found = row.get("text") if isinstance(row, Mapping) else row
    if not isinstance(found, str):
        raise StreamRowError('it has no text; expected a line, or an object such as {"text": "to be or not"}')
    return found
