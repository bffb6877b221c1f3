"""A character model: an embedding, two GRU layers with dropout, a softmax over the next character."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.nn import GRU

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "guide"


class CharacterModel(nn.Module):
    """`(batch, time)` characters to `(batch, time, characters)` scores."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, 64)
        self.rnn = GRU(64, 128, num_layers=2, dropout=0.1, batch_first=True)
        self.head = nn.Linear(128, characters)

    def forward(self, x: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Read on from a state."""
        output, state = self.rnn(self.embedding(x), state)
        return self.head(output), state


def train() -> Iterator[float]:
    """Train on the text of the guide by truncated backpropagation through time; yield each step's loss."""
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(GUIDE.glob("0[1-4]*.md")))
    known = sorted(set(text))
    codes = torch.tensor([known.index(character) for character in text])
    rows = codes[: len(codes) // 32 * 32].reshape(32, -1)
    torch.manual_seed(0)
    model = CharacterModel(len(known))
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    while True:
        state = None
        for begin in range(0, rows.shape[1] - 101, 100):
            scores, state = model(rows[:, begin : begin + 100], state)
            state = state.detach()
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), rows[:, begin + 1 : begin + 101].flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            yield loss.item()
