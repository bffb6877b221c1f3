"""A frame gives the same alone as among others, and where something is matters."""

import pytest
import torch

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.vision import FrameEncoder


def test_a_frame_gives_the_same_alone() -> None:
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(2, 10, widths=(4, 8)), torch.rand(6, 2, 20, 28)
    with torch.no_grad():
        together = encoder(frames)
        assert together.shape == (6, 10)
        assert torch.allclose(encoder(frames[2:3])[0], together[2], atol=1e-5)
        assert torch.equal(encoder.pooled(encoder.maps(frames)), together)


def test_where_something_is_can_be_told() -> None:
    torch.manual_seed(0)
    encoder, frames = FrameEncoder(1, 16), torch.zeros(2, 1, 48, 64)
    frames[0, 0, 8:16, 8:16] = 1
    frames[1, 0, 32:40, 48:56] = 1
    assert (encoder(frames)[0] - encoder(frames)[1]).abs().max() > 1e-3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        FrameEncoder(0, 4)
    with pytest.raises(UsageError):
        FrameEncoder(1, 4, widths=())
    with pytest.raises(ShapeError):
        FrameEncoder(1, 4)(torch.zeros(2, 3, 8, 8))
