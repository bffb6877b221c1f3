"""Networks of frames: what they give does not depend on what stands beside a clip, and a place is told as a place."""

from __future__ import annotations

import pytest
import torch

from ostinato.errors import ShapeError, UsageError
from ostinato.nn.vision import PlaceReader, TwoPathReader
from ostinato.nn.vision.two_paths import _beside, moving


def _readers():
    torch.manual_seed(0)
    return PlaceReader(3, (8, 8), heads=2, features=6).eval(), TwoPathReader((8, 8), heads=2, features=6).eval()


def test_a_clip_alone_gives_what_it_gives_in_a_batch_and_in_pieces():
    reader, frames = _readers()[0], torch.randn(5, 3, 3, 20, 28)
    with torch.no_grad():
        whole = reader(frames)
        torch.testing.assert_close(reader(frames[:, 1:2]), whole[:, 1:2], rtol=1e-4, atol=1e-4)
        pieces = torch.cat([reader(frames[:2]), reader(frames[2:], frames[1])])
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-4)


def test_a_clip_alone_gives_along_two_paths_what_it_gives_beside_longer_ones():
    reader, frames, lengths = _readers()[1], torch.randn(5, 3, 3, 20, 28), torch.tensor([5, 3, 1])
    with torch.no_grad():
        whole = reader(frames, lengths)
        for clip, length in enumerate(lengths.tolist()):
            alone = reader(frames[:length, clip : clip + 1])
            torch.testing.assert_close(alone, whole[:length, clip : clip + 1], rtol=1e-4, atol=1e-4)


def test_what_moves_is_told_from_what_stands_still_whichever_way_it_goes():
    frames = 0.02 * torch.randn(6, 2, 3, 32, 32)
    frames[:, :, :, 4:10, 4:10] += 2.0  # stands still
    for step in range(6):
        frames[step, 0, 1, 20:26, 4 * step : 4 * step + 6] -= 2.0
        frames[step, 1, 2, 26 - 4 * step : 32 - 4 * step, 20:26] += 2.0
    found = moving(frames, _beside(frames, None), (8, 8)).view(6, 2, 8, 8)
    for step in range(1, 5):
        assert divmod(int(found[step, 0].argmax()), 8) in [(row, step + at) for row in (5, 6) for at in (0, 1)]
        assert divmod(int(found[step, 1].argmax()), 8)[1] in (5, 6)
    assert float(found[:, :, 1:2, 1:2].max()) < 0.2
    still = frames[:1].expand(6, 2, 3, 32, 32)
    assert float(moving(still, _beside(still, None), (8, 8)).max()) == 0


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
        turned = reader(frames[:, :, [1, 2, 0]])  # other colours of the same lightness, which change as much
        codes, mirrored = reader.codes(frames[0]), reader.codes(frames[0].flip(-1))
    torch.testing.assert_close(turned[:, :, 0], one[:, :, 0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(turned[:, :, 1], one[:, :, 1])
    torch.testing.assert_close(mirrored, codes.flip(-1))  # a pixel knows nothing of those around it


def test_the_path_of_colours_has_no_say_in_where_is_looked():
    reader = _readers()[1]
    reader(torch.rand(2, 1, 3, 24, 24))[:, :, 1].sum().backward()
    known = [(name, weight.grad) for name, weight in reader.named_parameters() if weight.grad is not None]
    seen = {name.split(".")[0] for name, gradient in known if bool(gradient.any())}
    assert seen == {"codes", "chosen", "colour", "path"}


def test_a_thing_that_is_fainter_has_nearly_the_same_form():
    reader = _readers()[1]
    frames = torch.zeros(1, 2, 3, 24, 24)
    frames[:, 0, :, 8:16, 8:16], frames[:, 1, :, 8:16, 8:16] = 3.0, 1.0
    with torch.no_grad():
        strong, faint = reader._grey(frames)[0, :, 0]
    assert float((strong - faint).abs().max()) < 0.3 * float(strong.abs().max())


def test_in_training_the_grey_of_each_clip_is_mixed_by_chance():
    reader = _readers()[1].train()
    frames = torch.rand(2, 1, 3, 24, 24).expand(2, 4, 3, 24, 24)
    forms = reader(frames)[:, :, 0]
    assert not torch.allclose(forms[:, 0], forms[:, 1])
    reader.mixed = 0.0
    torch.testing.assert_close(reader(frames)[:, 0, 0], reader(frames)[:, 1, 0])


def test_frames_of_other_shapes_are_refused():
    for reader in _readers():
        with pytest.raises(ShapeError, match="time, batch, 3, height, width"):
            reader(torch.zeros(2, 3, 24, 24))
        assert reader(torch.zeros(0, 2, 3, 24, 24)).shape[:2] == (0, 2)
    with pytest.raises(UsageError, match="sizes"):
        PlaceReader(3, (), heads=2)
