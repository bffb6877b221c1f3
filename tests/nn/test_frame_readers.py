"""Networks of frames: what they give does not depend on what stands beside a clip, and a place is told as a place."""

from __future__ import annotations

import pytest
import torch

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.vision import PlaceReader, TwoPathReader


def _readers():
    torch.manual_seed(0)
    return PlaceReader(3, (8, 8), heads=2, features=6).eval(), TwoPathReader((8, 8), heads=2, features=6).eval()


@pytest.mark.parametrize("number", [0, 1])
def test_a_clip_alone_gives_what_it_gives_in_a_batch_and_in_pieces(number):
    reader, frames = _readers()[number], torch.randn(5, 3, 3, 20, 28)
    with torch.no_grad():
        whole = reader(frames)
        torch.testing.assert_close(reader(frames[:, 1:2]), whole[:, 1:2], rtol=1e-4, atol=1e-4)
        pieces = torch.cat([reader(frames[:2]), reader(frames[2:], frames[1])])
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-4)


def test_where_a_head_looks_sums_to_one_over_places():
    reader = _readers()[0]
    weights = reader.weights(torch.randn(4, 2, 3, 20, 28))
    assert weights.shape[:3] == (4, 2, 2)
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(4, 2, 2))


def test_neither_path_sees_what_is_of_the_other():
    reader = _readers()[1]
    frames = torch.rand(2, 1, 3, 24, 24)
    with torch.no_grad():
        one = reader(frames)
        turned = reader(frames[:, :, [1, 2, 0]])  # other colours of the same lightness
        codes, mirrored = reader.codes(frames[0]), reader.codes(frames[0].flip(-1))
    torch.testing.assert_close(turned[:, :, 0], one[:, :, 0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(turned[:, :, 1], one[:, :, 1])
    torch.testing.assert_close(mirrored, codes.flip(-1))  # a pixel knows nothing of those around it


def test_in_training_the_light_of_each_clip_is_drawn():
    reader = _readers()[1].train()
    frames = torch.rand(2, 1, 3, 24, 24).expand(2, 4, 3, 24, 24)
    forms = reader(frames)[:, :, 0]
    assert not torch.allclose(forms[:, 0], forms[:, 1])
    reader.light = 0.0
    torch.testing.assert_close(reader(frames)[:, 0, 0], reader(frames)[:, 1, 0])


def test_frames_of_other_shapes_are_refused():
    for reader in _readers():
        with pytest.raises(ShapeError, match="time, batch, 3, height, width"):
            reader(torch.zeros(2, 3, 24, 24))
        assert reader(torch.zeros(0, 2, 3, 24, 24)).shape[:2] == (0, 2)
    with pytest.raises(UsageError, match="sizes"):
        PlaceReader(3, (), heads=2)
