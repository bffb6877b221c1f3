"""ConvLSTM over time: the eager cell, a plain PyTorch loop, and what convolutions alone take on this processor.

    python benchmarks/convolutional.py [--rounds 7]

A training step (forward and backward, input included) at batch 4, 10 frames, 32 channels, 40 x 60, one thread, all ways
alternating in one process, medians. Beside them: the time of the convolutions alone (one call a step, as the loop has
them: forward, gradient of the input, gradient of the weights, of both convolutions), and the time that the same
multiply-adds take at the highest rate that a matrix product reaches here. No way of running a step that does these
multiply-adds can be faster than that.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from common import keep, machine, table
from ostinato.cells import ConvLSTMCell
from ostinato.engine.run.reference import scan_eagerly

BATCH, STEPS, CHANNELS, HEIGHT, WIDTH = 4, 10, 32, 40, 60
FLOPS = 2 * BATCH * HEIGHT * WIDTH * 4 * CHANNELS * CHANNELS * 9  # of one convolution of one step


class Plain(nn.Module):
    """A ConvLSTM as it is mostly written: one convolution of input and state side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2 * CHANNELS, 4 * CHANNELS, 3, padding=1)

    def forward(self, xs: Tensor) -> Tensor:
        """Walk over `(time, batch, channels, height, width)`."""
        h = c = xs.new_zeros(xs.shape[1:])
        found = []
        for x in xs:
            i, f, o, g = self.convolution(torch.cat([x, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            found.append(h)
        return torch.stack(found)


def ways() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    torch.manual_seed(0)
    xs = torch.randn(STEPS, BATCH, CHANNELS, HEIGHT, WIDTH)
    cell, plain = ConvLSTMCell(CHANNELS, CHANNELS), Plain()
    gradient = torch.randn(BATCH, 4 * CHANNELS, HEIGHT, WIDTH)
    weights = cell.recurrent.weight.detach()

    def trained(walk: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        return lambda: walk(xs.clone().requires_grad_()).sum().backward()

    def eager(x: Tensor) -> Tensor:
        return scan_eagerly(cell, x, cell.initial_state(x[0]), None, False)[0]

    def convolutions() -> None:
        with torch.no_grad():
            for x in xs:
                for _ in range(2):  # of the input and of the state
                    torch.conv2d(x, weights, padding=1)
                    torch.ops.aten.convolution_backward(
                        gradient, x, weights, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
                    )

    a, b = torch.randn(768, 768), torch.randn(768, 768)
    return {
        "ostinato.scan of ConvLSTMCell (eager)": trained(eager),
        "plain PyTorch loop": trained(plain),
        "the convolutions alone": convolutions,
        "a matrix product of 768 x 768": lambda: a @ b,
    }


def main() -> None:
    """Time, keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    timed = ways()
    for number in range(rounds + 1):
        for name, run in timed.items():
            began = time.perf_counter()
            run()
            if number:
                found.setdefault(name, []).append(time.perf_counter() - began)
    whole = 6 * STEPS * FLOPS  # two convolutions, three products each
    peak = 2 * 768**3 / min(found.pop("a matrix product of 768 x 768"))
    medians = {name: statistics.median(times) for name, times in found.items()}
    rows = [[name, 1e3 * seconds, whole / seconds / 1e9] for name, seconds in medians.items()]
    rows.append(["the same multiply-adds at the rate of a matrix product", 1e3 * whole / peak, peak / 1e9])
    shape = f"batch {BATCH}, {STEPS} frames, {CHANNELS} channels, {HEIGHT} x {WIDTH}"
    text = f"ConvLSTM training step, {shape}; {whole / 1e9:.1f} GFLOP in convolutions\n\n"
    text += table(["", "ms", "GFLOP/s"], rows)
    keep("convolutional.md", f"{text}\n\n{machine()}; {time.strftime('%Y-%m-%d')}")


if __name__ == "__main__":
    main()
