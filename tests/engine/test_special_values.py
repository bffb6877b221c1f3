"""Every pointwise operation that the engine knows, at infinities, NaN, zeros, subnormal and huge numbers."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import ostinato
from ostinato.engine.run import compiled

UNARY = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "celu": F.celu,
    "clamp": lambda x: x.clamp(-0.7, 0.9),
    "clamp_max": lambda x: x.clamp(max=0.3),
    "clamp_min": lambda x: x.clamp(min=-0.3),
    "cos": torch.cos,
    "elu": F.elu,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "frac": torch.frac,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "isinf": lambda x: torch.isinf(x).to(x.dtype) + x * 0.5,
    "isnan": lambda x: torch.isnan(x).to(x.dtype) + x * 0.5,
    "leaky_relu": F.leaky_relu,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logit": torch.logit,
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "nan_to_num": torch.nan_to_num,
    "neg": torch.neg,
    "reciprocal": torch.reciprocal,
    "relu": torch.relu,
    "relu6": F.relu6,
    "round": torch.round,
    "rsqrt": torch.rsqrt,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": F.silu,
    "sin": torch.sin,
    "softplus": F.softplus,
    "softplus_beta": lambda x: F.softplus(x, beta=2.0, threshold=5.0),
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.1, 20.0),
    "trunc": torch.trunc,
    "pow_2": lambda x: x**2,
    "pow_3": lambda x: x**3,
    "pow_-1": lambda x: x**-1,
    "pow_-2": lambda x: x**-2,
    "pow_0": lambda x: x**0,
    "pow_1": lambda x: x**1,
    "pow_half": lambda x: x**0.5,
    "pow_-half": lambda x: x**-0.5,
    "pow_1.3": lambda x: x**1.3,
    "base_2": lambda x: 2.0**x,
    "times_0": lambda x: x * 0.0,
    "times_-0": lambda x: x * -0.0,
    "times_1": lambda x: x * 1.0,
    "times_-1": lambda x: x * -1.0,
    "plus_0": lambda x: x + 0.0,
    "plus_-0": lambda x: x + -0.0,
    "0_plus": lambda x: 0.0 + x,
    "minus_0": lambda x: x - 0.0,
    "minus_-0": lambda x: x - -0.0,
    "0_minus": lambda x: 0.0 - x,
    "over_1": lambda x: x / 1.0,
    "over_0": lambda x: x / 0.0,
    "over_-0": lambda x: x / -0.0,
    "1_over": lambda x: 1.0 / x,
    "minus_itself": lambda x: x - x,
    "over_itself": lambda x: x / x,
    "plus_itself": lambda x: x + x,
    "times_zeros": lambda x: x * torch.zeros_like(x),
    "plus_zeros": lambda x: x + torch.zeros_like(x),
    "plus_numbers": lambda x: x + (0.1 + torch.zeros_like(x)) + 0.2,
    "zero_over_zero": lambda x: x + torch.zeros_like(x) / torch.zeros_like(x),
    "where": lambda x: torch.where(x > 0.1, x, 0.5 * x),
    "where_nan": lambda x: torch.where(torch.isnan(x), 1.0, x),
    "masked_fill": lambda x: x.masked_fill(x < 0, -1.0),
    "sum_of_one": lambda x: x.sum(-1, keepdim=True),
    "logical_not": lambda x: torch.logical_not(x).to(x.dtype) + x * 0.5,
    "bool": lambda x: x.bool().to(x.dtype) + x * 0.5,
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmod_free": lambda a, b: a - b,
    "pow": torch.pow,
    "where": lambda a, b: torch.where(a > b, a, b * 0.5),
    "eq": lambda a, b: (a == b).to(a.dtype) + a,
    "ne": lambda a, b: (a != b).to(a.dtype) + a,
    "lt": lambda a, b: (a < b).to(a.dtype) + a,
    "le": lambda a, b: (a <= b).to(a.dtype) + a,
    "gt": lambda a, b: (a > b).to(a.dtype) + a,
    "ge": lambda a, b: (a >= b).to(a.dtype) + a,
    "and": lambda a, b: torch.logical_and(a > 0, b > 0).to(a.dtype) + a,
    "or": lambda a, b: torch.logical_or(a > 0, b > 0).to(a.dtype) + a,
    "xor": lambda a, b: torch.logical_xor(a > 0, b > 0).to(a.dtype) + a,
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "addcmul": lambda a, b: torch.addcmul(a, a, b, value=0.5),
    "addcdiv": lambda a, b: torch.addcdiv(a, a, b, value=0.5),
    "gate": lambda a, b: a.sigmoid() * b + (1 - a.sigmoid()) * b.tanh(),
    "fused": lambda a, b: a * b + a,
    "softmax_2": lambda a, b: torch.softmax(torch.cat([a, b], -1), -1)[..., :1],
    "log_softmax_2": lambda a, b: torch.log_softmax(torch.cat([a, b], -1), -1)[..., :1],
    "logsumexp_2": lambda a, b: torch.logsumexp(torch.cat([a, b], -1), -1, keepdim=True),
    "amax_2": lambda a, b: torch.cat([a, b], -1).amax(-1, keepdim=True),
    "amin_2": lambda a, b: torch.cat([a, b], -1).amin(-1, keepdim=True),
    "sum_2": lambda a, b: torch.cat([a, b], -1).sum(-1, keepdim=True),
    "mean_2": lambda a, b: torch.cat([a, b], -1).mean(-1, keepdim=True),
    "norm_2": lambda a, b: torch.cat([a, b], -1).norm(dim=-1, keepdim=True),
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def _values(dtype: torch.dtype) -> torch.Tensor:
    info = torch.finfo(dtype)
    positive = [0.0, math.inf, info.smallest_normal / 8, info.smallest_normal, info.eps, 1e-8, 1e-4, 0.1, 0.5, 0.7]
    positive += [0.9, 1.0, 1.5, 2.0, 2.5, 3.0, 4.5, 6.0, 10.0, 15.0, 20.0, 25.0, 40.0, 88.0, 100.0, 110.0, 709.0, 760.0]
    positive += [1e4, 1e10, 1e20, 2.0 ** (info.bits / 2), info.max / 2, info.max]
    return torch.tensor([*positive, *(-value for value in positive), math.nan], dtype=dtype)


class _Columns(nn.Module):
    """A cell that applies each operation to columns of its own, so that none sees what another gives."""

    def __init__(self, operations: list, arguments: int) -> None:
        super().__init__()
        self.operations, self.arguments = tuple(operations), arguments

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        columns = iter(x.split(1, -1))
        found = [operation(*(next(columns) for _ in range(self.arguments))) for operation in self.operations]
        return torch.cat(found, -1), state


def _ours(table: dict, rows: torch.Tensor) -> dict:
    """Return outputs and gradients by operation; a row of values is a row of the batch."""
    cell = _Columns(list(table.values()), rows.shape[1])
    xs = rows.repeat(1, len(table))[None].clone().requires_grad_()
    ys, _ = ostinato.scan(cell, xs, xs.new_zeros((len(rows), 1)))
    (dx,) = torch.autograd.grad(ys.sum(), xs)
    assert not any(isinstance(plan, compiled.Unsupported) for plan in compiled._plans[cell].values())
    gradients = dx[0].split(rows.shape[1], -1)
    return {name: (ys[0, :, place], gradients[place]) for place, name in enumerate(table)}


def _theirs(operation, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    columns = [rows[:, place : place + 1].contiguous().requires_grad_() for place in range(rows.shape[1])]
    y = operation(*columns)
    return y[:, 0], torch.cat(torch.autograd.grad(y.sum(), columns, materialize_grads=True), 1)


def _differences(ours: torch.Tensor, theirs: torch.Tensor, rows: torch.Tensor, *, signed: bool) -> list[str]:
    """Return where two results differ in kind, in the sign of zero if that is asked, or by more than rounding.

    Rounding is that of the inputs too, and of 1: differences such as `1 - tanh(x)^2` have it. What is close to the
    least normal number may be zero.
    """
    info = torch.finfo(ours.dtype)
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    if signed:
        same &= (ours != 0) | (torch.signbit(ours) == torch.signbit(theirs))
    size = rows.abs().amax(-1).clamp(max=1.0).reshape(-1, *[1] * (theirs.dim() - 1))
    allowed = 64 * info.eps * (theirs.abs() + size) + 1024 * info.smallest_normal
    near = ours.isfinite() & theirs.isfinite() & ((ours - theirs).abs() <= allowed) & ((ours != 0) | (theirs != 0))
    wrong = ~(same | near)
    wrong = wrong if wrong.dim() == 1 else wrong.any(-1)
    return [f"{rows[i].tolist()}: {ours[i].tolist()} for {theirs[i].tolist()}" for i in wrong.nonzero()[:, 0].tolist()]


UNSIGNED = {"frac", "maximum", "minimum", "amax_2", "amin_2", "softmax_2", "log_softmax_2", "logsumexp_2", "norm_2"}
"""Where PyTorch's zeros have one sign or the other by how numbers lie in memory, the order of a sum, or the build."""
SIGMOID = "infinity, or the largest numbers, times a sigmoid that is below the normal numbers and here zero"
EXCEPT = {
    (
        "gelu",
        "value",
    ): "PyTorch's float32 operation gives NaN at infinity where the numbers lie dense, and else infinity",
    ("logit", "gradient"): "at -0.0 PyTorch's own decomposition gives -inf, its operation inf",
    ("hardsigmoid", "gradient"): "PyTorch's operation has the sixth in float32 even in float64",
    ("addcmul", "value"): "overflows where the product of the two does, as PyTorch's decomposition",
    ("lerp", "value"): "a small difference of large numbers, rounded otherwise",
    ("gate", "value"): SIGMOID,
    ("gate", "gradient"): SIGMOID,
}


def _report(table: dict, rows: torch.Tensor) -> str:
    ours, lines = _ours(table, rows), []
    for name, operation in table.items():
        for what, mine, other in zip(("value", "gradient"), ours[name], _theirs(operation, rows), strict=True):
            found = _differences(mine, other, rows, signed=name not in UNSIGNED)
            if found and (name, what) not in EXCEPT:
                lines.append(f"{name} {what}: " + "; ".join(found[:6]) + f" ({len(found)})")
    return "\n".join(lines)


@DTYPES
def test_operations_on_one_number_give_what_pytorch_gives(dtype: torch.dtype) -> None:
    assert _report(UNARY, _values(dtype)[:, None]) == ""


@DTYPES
def test_operations_on_two_numbers_give_what_pytorch_gives(dtype: torch.dtype) -> None:
    values = _values(dtype)[::2] if dtype is torch.float64 else _values(dtype)
    assert _report(BINARY, torch.cartesian_prod(values, values)) == ""
