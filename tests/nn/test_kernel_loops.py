"""Compiled random convolutions: what PyTorch's convolutions give, and the same bits alone as among others."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ostinato.nn.competing_kernels import CompetingKernels
from ostinato.nn.kernel_loops import Masks, competed, convolved, shares_above
from ostinato.nn.random_kernels import RandomKernels

SHAPES = [(1, 1, 1, 1), (3, 1, 15, 2), (2, 1, 16, 1), (2, 4, 64, 3), (5, 12, 131, 7), (1, 2, 17, 40)]


def _given(sequences, channels, time, kernels=5):
    generator = torch.Generator().manual_seed(time)
    block = torch.randn(sequences, channels, time, generator=generator)
    masks = torch.rand(kernels, channels, generator=generator) < 0.4
    masks[:, 0] |= ~masks.any(1)
    return block, masks, torch.randn(kernels, 9, generator=generator)


def _peer(block, masks, taps, dilation):
    weights = masks[:, :, None] * taps[:, None].double()
    return functional.conv1d(block.double(), weights, padding=4 * dilation, dilation=dilation).transpose(0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_shares_are_those_of_a_convolution(shape) -> None:
    *sizes, dilation = shape
    block, masks, taps = _given(*sizes)
    wanted, chosen = _peer(block, masks, taps, dilation), Masks.of(masks.numpy())
    found = convolved(block, chosen, taps, dilation)
    torch.testing.assert_close(found.double(), wanted, atol=1e-4, rtol=1e-4)
    levels = torch.tensor([-1.0, 0.0, 0.7]).expand(len(taps), 3)
    inside = np.tile(np.array([0, sizes[2]]), (len(taps), 1))
    inside[1::2] = sizes[2] // 3, sizes[2] - sizes[2] // 4
    shares = shares_above(block, chosen, taps, dilation, levels, inside)
    for kernel, (first, stop) in enumerate(inside.tolist()):
        above = found[kernel, :, first:stop, None] > levels[kernel]
        torch.testing.assert_close(shares[:, :, kernel], above.float().mean(1))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_largest_of_a_group_has_its_output_and_the_smallest_is_counted(shape) -> None:
    *sizes, dilation = shape
    block, masks, taps = _given(*sizes, kernels=16)
    masks = masks[:2]
    outputs = _peer(block, masks.repeat_interleave(8, 0), taps, dilation).view(2, 8, sizes[0], sizes[2])
    strength, least = competed(block, Masks.of(masks.numpy()), taps.view(2, 8, 9), dilation)
    won = (outputs == outputs.amax(1, keepdim=True)) * outputs
    torch.testing.assert_close(strength.double(), won.mean(3).permute(2, 0, 1), atol=1e-4, rtol=1e-4)
    lost = (outputs == outputs.amin(1, keepdim=True)).double()
    torch.testing.assert_close(least.double(), lost.mean(3).permute(2, 0, 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 5])
def test_features_of_a_sequence_have_the_same_bits_alone_and_among_others(channels) -> None:
    sequences = [torch.randn(length, channels).cumsum(0).round() for length in (50, 50, 21, 50, 3)]
    random, competing = RandomKernels(channels, 50, 84 * 4), CompetingKernels(channels, 50, 3)
    random.fit(sequences, 0)
    competing.fit(0)
    for kernels in (random, competing):
        together = kernels(sequences)
        assert together.isfinite().all()
        for row, sequence in enumerate(sequences):
            assert kernels([sequence])[0].equal(together[row])


@pytest.mark.parametrize("changed", ["module", "default"])
def test_features_are_the_same_of_a_module_of_another_type(changed) -> None:
    sequences = [torch.randn(50, 2) for _ in range(4)]

    def made():
        random, competing = RandomKernels(2, 50, 84 * 4), CompetingKernels(2, 50, 3)
        random.fit(sequences, 0)
        competing.fit(0)
        return random, competing

    before = [kernels(sequences) for kernels in made()]
    if changed == "module":
        after = [kernels.double()(sequences) for kernels in made()]
    else:
        torch.set_default_dtype(torch.float64)
        try:
            after = [kernels(sequences) for kernels in made()]
        finally:
            torch.set_default_dtype(torch.float32)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other, one)
