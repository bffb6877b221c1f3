"""A network that no memory holds is refused before its weights are drawn, and one that fits is the same as ever."""

import pytest
import torch
from torch import nn

from ostinato.errors import NotEnoughMemory
from ostinato.tasks.base import running
from ostinato.tasks.base.running import make_network


def test_a_network_whose_first_weights_alone_would_fit_is_refused_before_they_are_drawn(monkeypatch) -> None:
    made = []

    def make() -> nn.Module:
        first = nn.Linear(2**14, 2**14)  # a GiB
        made.append(first.weight.device.type)
        return nn.Sequential(first, nn.Linear(2**14, 2**14))

    monkeypatch.setattr(running, "_memory", lambda: 6 * 2**30)  # four copies of the first, but not of both
    with pytest.raises(NotEnoughMemory, match="choose a smaller hidden_size"):
        make_network(make, 0)
    assert made == ["meta"]


def test_a_network_whose_shapes_are_looked_at_first_has_the_weights_that_it_would_have(monkeypatch) -> None:
    plain = make_network(lambda: nn.LSTM(3, 5), 1)
    monkeypatch.setattr(running, "_LARGE", 100)
    large = make_network(lambda: nn.LSTM(3, 5), 1)
    assert all(torch.equal(own, other) for own, other in zip(plain.parameters(), large.parameters(), strict=True))
