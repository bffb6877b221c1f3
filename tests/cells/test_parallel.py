"""The cells that are linear in their state, all steps at once, against the same one by one.

`h_t = a_t h_{t-1} + b_t` is a sum along time of an associative operation; `all_at_once` doubles its reach each round.
"""

import pytest
import torch

import ostinato
from samples import HIDDEN, INPUT, random_cell


def all_at_once(a, b):
    """Return `h` of all steps from zero, `(time, ...)`, in `log2(time)` rounds (Hillis and Steele, 1986)."""
    reach = 1
    while reach < a.shape[0]:
        before_a = torch.cat([torch.ones_like(a[:reach]), a[:-reach]])
        before_b = torch.cat([torch.zeros_like(b[:reach]), b[:-reach]])
        a, b = a * before_a, a * before_b + b
        reach *= 2
    return b


def mingru(cell, xs):
    z, n = cell.input(xs).chunk(2, -1)
    return all_at_once(torch.sigmoid(-z), torch.sigmoid(z) * n)


def minlstm(cell, xs):
    f, i, n = cell.input(xs).chunk(3, -1)
    f, i = f.sigmoid(), i.sigmoid()
    return all_at_once(f / (f + i), i / (f + i) * n)


def qrnn(cell, xs):
    taps = cell.input.weight.unflatten(1, (2, INPUT)).transpose(1, 2)  # (outputs, inputs, window)
    padded = torch.nn.functional.pad(xs.permute(1, 2, 0), (1, 0))
    z, f, o = torch.conv1d(padded, taps, cell.input.bias).permute(2, 0, 1).sigmoid().chunk(3, -1)
    z = torch.tanh(torch.logit(z))
    return o * all_at_once(f, (1 - f) * z)


def sru(cell, xs):
    candidate, f, r = cell.input(xs).chunk(3, -1)
    b_f, b_r = cell.bias.chunk(2)
    f, r = (f + b_f).sigmoid(), (r + b_r).sigmoid()
    return r * all_at_once(f, (1 - f) * candidate) + (1 - r) * cell.highway(xs) * 3**0.5


def lru(cell, xs):
    """By powers of the transition: `s_t` is the sum of `l^(t-s) B x_s` (equation 3 of the source)."""
    transition = torch.exp(torch.complex(-cell.nu.exp(), cell.theta.exp()))
    driven = cell.gamma.exp() * torch.complex(*cell.input(xs).chunk(2, -1))
    lag = torch.arange(len(xs))[:, None] - torch.arange(len(xs))
    powers = transition ** lag.clamp(min=0)[..., None] * (lag >= 0)[..., None]
    states = torch.einsum("tsh,sbh->tbh", powers, driven)
    real, minus_imaginary = cell.output.weight.chunk(2, -1)
    return (states @ torch.complex(real, -minus_imaginary).t()).real + cell.skip(xs)


def rglru(cell, xs):
    u = cell.input(xs)
    r, i = cell.gates(u).sigmoid().chunk(2, -1)
    a = cell.decay.sigmoid() ** (8 * r)
    return all_at_once(a, (1 - a**2).sqrt() * i * u)


def mlstm(cell, xs):
    """As attention: each query against all earlier keys, weighed by the gates between (appendix of the source)."""
    q, k, v, o = cell.input(xs).chunk(4, -1)
    i, f = cell.gates(xs).chunk(2, -1)
    total = torch.nn.functional.logsigmoid(f).cumsum(0)
    weight = torch.exp(total[:, None] - total[None] + i[None]).squeeze(-1)  # (query, key, batch)
    weight = weight * torch.ones(len(xs), len(xs)).tril()[..., None]
    score = torch.einsum("tbd,sbd->tsb", q, k) / HIDDEN**0.5 * weight
    return o.sigmoid() * torch.einsum("tsb,sbd->tbd", score, v) / score.sum(1).abs().clamp(min=1.0)[..., None]


@pytest.mark.parametrize("form", [mingru, minlstm, qrnn, sru, lru, rglru, mlstm], ids=lambda form: form.__name__)
@pytest.mark.parametrize("time", [1, 2, 13])
def test_all_steps_at_once_equal_one_by_one(form, time: int) -> None:
    cell = random_cell(form.__name__)
    if form is sru:
        torch.nn.init.zeros_(cell.recurrent)  # with v = 0 it is linear, as in the first version of its source
    xs = torch.randn(time, 3, INPUT, dtype=torch.double)
    ys, _ = ostinato.scan(cell, xs)
    torch.testing.assert_close(form(cell, xs), ys)
