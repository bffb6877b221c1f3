"""Cells made at random of the operations that the engine knows, to be compared with the eager loop."""

import random

import torch
from torch import nn
from torch.nn import functional as F

UNARY = [
    torch.sigmoid,
    torch.tanh,
    torch.relu,
    F.silu,
    F.gelu,
    lambda x: F.gelu(x, approximate="tanh"),
    F.softplus,
    F.elu,
    F.leaky_relu,
    F.hardtanh,
    F.logsigmoid,
    lambda x: torch.exp(-x.abs()),
    lambda x: torch.log(x.abs() + 0.5),
    lambda x: torch.log1p(x * x),
    lambda x: torch.expm1(torch.tanh(x)),
    lambda x: torch.sqrt(x * x + 0.25),
    lambda x: torch.rsqrt(x * x + 1.0),
    lambda x: x.clamp(-0.7, 0.9),
    lambda x: x.clamp(min=-0.3),
    lambda x: -x,
    lambda x: 1.0 - x,
    lambda x: x**2,
    lambda x: (x * x + 0.1) ** 1.3,
    lambda x: 1.0 / (1.5 + x * x),
    torch.sin,
    torch.cos,
    torch.abs,
    lambda x: torch.where(x > 0.1, x, 0.5 * x),
    lambda x: F.softmax(x, -1),
    lambda x: F.log_softmax(x, -1),
    lambda x: F.layer_norm(x, x.shape[-1:]),
    lambda x: F.rms_norm(x, x.shape[-1:]),
    lambda x: x / (1e-3 + x.norm(dim=-1, keepdim=True)),
    lambda x: x - x.mean(-1, keepdim=True),
    lambda x: x * x.sum(-1, keepdim=True).tanh(),
    lambda x: x - x.amax(-1, keepdim=True),
    lambda x: x / (1.0 + x.var(-1, keepdim=True, unbiased=False)),
    lambda x: (x > 0).to(x.dtype) * 0.5 + x,
    lambda x: torch.cat([x, -x], -1)[..., 1 : x.shape[-1] + 1],
    lambda x: torch.cat([x[..., 1:], x[..., :1]], -1),
]

BINARY = [
    torch.add,
    torch.sub,
    torch.mul,
    torch.maximum,
    torch.minimum,
    lambda a, b: a / (1.5 + b * b),
    lambda a, b: torch.where(a > b, a, b * 0.5),
    lambda a, b: torch.lerp(a, b, 0.3),
    lambda a, b: a.sigmoid() * b + (1 - a.sigmoid()) * b.tanh(),
    lambda a, b: torch.addcmul(a, a, b, value=0.5),
]


class RandomCell(nn.Module):
    """A cell whose graph follows from a seed; `describe` lists what was drawn."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.input_size = draw.choice([1, 3, 5, 16, 17])
        self.widths = [draw.choice([1, 2, 4, 7, 16, 19, 33]) for _ in range(draw.choice([1, 1, 2, 3]))]
        self.weights = nn.ParameterList()
        self.program: list[tuple] = []
        sizes = [self.input_size, *self.widths]
        for _ in range(draw.randint(3, 9)):
            self._draw(draw, sizes)
        # every new state is squashed, so that long sequences stay finite
        self.ends = []
        for width in self.widths:
            source = draw.randrange(len(sizes))
            self.ends.append((source, self._weight(draw, (sizes[source], width)), draw.randrange(1 + len(self.widths))))
        self.output = draw.randrange(len(sizes))

    def _weight(self, draw: random.Random, shape: tuple[int, ...]) -> int:
        generator = torch.Generator().manual_seed(draw.randrange(2**31))
        self.weights.append(nn.Parameter(torch.randn(shape, generator=generator) / shape[-2] ** 0.5))
        return len(self.weights) - 1

    def _draw(self, draw: random.Random, sizes: list[int]) -> None:
        source = draw.randrange(len(sizes))
        size = sizes[source]
        kind = draw.choice(
            ["linear", "linear", "unary", "unary", "unary", "binary", "gates", "heads", "affine", "outer"]
        )
        if kind == "linear":
            width = draw.choice([1, 2, 4, 7, 16, 19, 33, 64])
            self.program.append((kind, source, self._weight(draw, (size, width))))
            sizes.append(width)
        elif kind == "unary":
            self.program.append((kind, source, draw.randrange(len(UNARY))))
            sizes.append(size)
        elif kind == "binary":
            same = [index for index, other in enumerate(sizes) if other in (size, 1)]
            self.program.append((kind, source, draw.choice(same), draw.randrange(len(BINARY))))
            sizes.append(size)
        elif kind == "gates":
            width, other = draw.choice([3, 8, 16, 20]), draw.randrange(len(sizes))
            weights = self._weight(draw, (size, 3 * width)), self._weight(draw, (sizes[other], 3 * width))
            self.program.append((kind, source, other, *weights, self._weight(draw, (1, 3 * width))))
            sizes.append(width)
        elif kind == "heads":
            if size % 4:
                return
            width = draw.choice([2, 4, 16])
            self.program.append((kind, source, self._weight(draw, (4, size // 4, width))))
            sizes.append(4 * width)
        elif kind == "affine":
            self.program.append((kind, source, self._weight(draw, (1, size)), self._weight(draw, (1, size))))
            sizes.append(size)
        else:
            other = draw.randrange(len(sizes))
            if size * sizes[other] > 200:
                return
            self.program.append((kind, source, other))
            sizes.append(sizes[other])

    def initial_state(self, x: torch.Tensor):
        states = tuple(x.new_zeros((x.shape[0], width)) for width in self.widths)
        return states if len(states) > 1 else states[0]

    def forward(self, x, state):
        states = state if isinstance(state, tuple) else (state,)
        values = [x, *states]
        for step in self.program:
            values.append(self._run(step, values))
        new = []
        for old, (source, weight, kept) in zip(states, self.ends, strict=True):
            fresh = torch.tanh(values[source] @ self.weights[weight])
            new.append(old if kept == 0 and len(states) > 1 and old is states[-1] else 0.5 * old + 0.5 * fresh)
        return values[self.output].clamp(-50, 50), tuple(new) if isinstance(state, tuple) else new[0]

    def _run(self, step, values):
        kind, source, *rest = step
        x, w = values[source], self.weights
        if kind == "linear":
            return x @ w[rest[0]]
        if kind == "unary":
            return UNARY[rest[0]](x.clamp(-20, 20))
        if kind == "binary":
            return BINARY[rest[1]](x, values[rest[0]])
        if kind == "gates":
            a, b, c = (x @ w[rest[1]] + values[rest[0]] @ w[rest[2]] + w[rest[3]][0]).chunk(3, -1)
            return a.sigmoid() * b.tanh() + (c * 0.1)
        if kind == "heads":
            heads = x.reshape(x.shape[0], 4, -1)
            return torch.einsum("bhi,hij->bhj", heads, w[rest[0]]).flatten(1)
        if kind == "affine":
            return x * w[rest[0]][0] + w[rest[1]][0]
        matrix = x.tanh().unsqueeze(2) * values[rest[0]].unsqueeze(1)
        return matrix.mean(1)
