"""Words read by their characters: by convolutions, or recurrently; exact for each word's length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells import CATALOGUE
from ostinato.errors import UsageError
from ostinato.nn import Recurrent


class CharacterCNN(nn.Module):
    """A convolution over the characters of each word, and the greatest of each channel.

    Args:
        characters: how many, padding (0) among them.
        embedding_size: features of a character.
        output_size: channels.
        width: characters that each sees, an odd number.

    Source: X. Ma and E. Hovy, "End-to-end sequence labeling via bi-directional LSTM-CNNs-CRF", ACL 2016, section 2.1.

    >>> read = CharacterCNN(10, 4, 6)
    >>> tuple(read(torch.randint(1, 10, (7, 3)), torch.tensor([7, 2, 1])).shape)
    (3, 6)
    """

    def __init__(self, characters: int, embedding_size: int, output_size: int, width: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, embedding_size, padding_idx=0)
        self.convolution = nn.Conv1d(embedding_size, output_size, width, padding=width // 2)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Return `(words, output_size)` for `(characters, words)` and `(words,)`."""
        real = torch.arange(len(characters), device=lengths.device)[:, None] < lengths
        # zeros, not a learned vector, stand past a word: it reads the same beside a longer one
        vectors = self.embedding(characters).masked_fill(~real[..., None], 0.0)
        seen: Tensor = self.convolution(vectors.permute(1, 2, 0))
        return seen.masked_fill(~real.T[:, None], float("-inf")).amax(-1).relu()


class CharacterRNN(nn.Module):
    """A recurrent network each way over the characters of each word, and what they end with.

    Args:
        characters: how many, padding (0) among them.
        embedding_size: features of a character.
        output_size: of both directions together, an even number.

    Source: G. Lample et al., "Neural architectures for named entity recognition", NAACL 2016, section 4.1.

    >>> read = CharacterRNN(10, 4, 6)
    >>> tuple(read(torch.randint(1, 10, (7, 3)), torch.tensor([7, 2, 1])).shape)
    (3, 6)
    """

    def __init__(self, characters: int, embedding_size: int, output_size: int) -> None:
        super().__init__()
        if output_size % 2:
            raise UsageError(f"character_size is {output_size}; expected an even number, half for each direction")
        self.embedding = nn.Embedding(characters, embedding_size, padding_idx=0)
        self.both = Recurrent(CATALOGUE["lstm"](embedding_size, output_size // 2), bidirectional=True)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Return `(words, output_size)` for `(characters, words)` and `(words,)`."""
        ys, _ = self.both(self.embedding(characters), lengths=lengths)
        ahead, back = ys.chunk(2, -1)
        return torch.cat([ahead[lengths - 1, torch.arange(len(lengths), device=lengths.device)], back[0]], -1)


def character_reader(kind: str, characters: int, embedding_size: int, output_size: int) -> nn.Module | None:
    """Return what reads the characters of a word, by its name; `None` for `"none"`."""
    if kind == "none":
        return None
    made = CharacterCNN if kind == "cnn" else CharacterRNN
    return made(characters, embedding_size, output_size)
