"""Every cell once more, in NumPy, one row of a batch at a time, from its paper: what the tests compare with.

A reference takes the cell's numbers by name, one step of one row and the state, and returns the output and the new
state. Where PyTorch keeps several gates in one matrix, `blocks` takes them apart. The xLSTM cells keep their memories
scaled by `exp(m)`, the references plain: their outputs are compared, and their states once unscaled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Numbers = dict[str, np.ndarray]


def sigmoid(v):
    return 1.0 / (1.0 + np.exp(-v))


def blocks(matrix, count):
    return np.split(matrix, count)


def affine(p: Numbers, count: int, x, h=None):
    """Return the sums `W x + U h + b` of each gate."""
    sums = []
    for gate in range(count):
        total = blocks(p["input.weight"], count)[gate] @ x
        if "input.bias" in p:
            total = total + blocks(p["input.bias"], count)[gate]
        if h is not None:
            total = total + blocks(p["recurrent.weight"], count)[gate] @ h
        sums.append(total)
    return sums


def norm(v, gain, bias=0.0):
    return (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5) * gain + bias


def rnn(p, x, h):
    h = np.tanh(affine(p, 1, x, h)[0])
    return h, h


def irnn(p, x, h):
    h = np.maximum(affine(p, 1, x, h)[0], 0)
    return h, h


def indrnn(p, x, h):
    h = np.maximum(affine(p, 1, x)[0] + np.diag(p["recurrent"]) @ h, 0)
    return h, h


def lstm_gates(i, f, g, o, c):
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm(p, x, state):
    h, c = lstm_gates(*affine(p, 4, x, state[0]), state[1])
    return h, (h, c)


def lstm_peephole(p, x, state):
    h, c = state
    i, f, g, o = affine(p, 4, x, h)
    p_i, p_f, p_o = (np.diag(row) for row in blocks(p["peepholes"], 3))
    new_c = sigmoid(f + p_f @ c) * c + sigmoid(i + p_i @ c) * np.tanh(g)
    h = sigmoid(o + p_o @ new_c) * np.tanh(new_c)
    return h, (h, new_c)


def lstm_coupled(p, x, state):
    f, g, o = affine(p, 3, x, state[0])
    h, c = lstm_gates(-f, f, g, o, state[1])  # 1 - sigmoid(f) = sigmoid(-f)
    return h, (h, c)


def lstm_projected(p, x, state):
    h, c = lstm_gates(*affine(p, 4, x, state[0]), state[1])
    h = p["projection.weight"] @ h
    return h, (h, c)


def lstm_layernorm(p, x, state):
    h, c = state
    sums = norm(p["input.weight"] @ x, p["input_norm.weight"])
    sums = sums + norm(p["recurrent.weight"] @ h, p["recurrent_norm.weight"]) + p["bias"]
    i, f, g, o = blocks(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm(c, p["memory_norm.weight"], p["memory_norm.bias"]))
    return h, (h, c)


def lstm_multiplicative(p, x, state):
    h, c = state
    m = (p["factor.weight"] @ x) * (p["recurrent.weight"] @ h)
    sums = p["input.weight"] @ x + p["input.bias"] + p["mixed.weight"] @ m
    h, c = lstm_gates(*blocks(sums, 4), c)
    return h, (h, c)


def janet(p, x, h):
    s, g = affine(p, 2, x, h)
    h = sigmoid(s) * h + (1 - sigmoid(s - 1)) * np.tanh(g)
    return h, h


def gru(p, x, h):
    x_r, x_z, x_n = affine(p, 3, x)
    h_r, h_z, h_n = blocks(p["recurrent.weight"] @ h + p["recurrent.bias"], 3)
    z = sigmoid(x_z + h_z)
    n = np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
    h = (1 - z) * n + z * h
    return h, h


def gru_reset_before(p, x, h):
    x_r, x_z, x_n = affine(p, 3, x)
    u_r, u_z = blocks(p["recurrent.weight"], 2)
    r, z = sigmoid(x_r + u_r @ h), sigmoid(x_z + u_z @ h)
    h = z * h + (1 - z) * np.tanh(x_n + p["candidate.weight"] @ (r * h))
    return h, h


def gru_layernorm(p, x, h):
    x, u, b = p["input.weight"] @ x, p["recurrent.weight"] @ h, p["bias"]
    d = 2 * len(h)
    gates = norm(x[:d], p["input_gate_norm.weight"]) + norm(u[:d], p["recurrent_gate_norm.weight"]) + b[:d]
    z, r = blocks(sigmoid(gates), 2)
    n = np.tanh(norm(x[d:], p["input_norm.weight"]) + r * norm(u[d:], p["recurrent_norm.weight"]) + b[d:])
    h = (1 - z) * h + z * n
    return h, h


def mgu(p, x, h):
    x_f, x_n = affine(p, 2, x)
    f = sigmoid(x_f + p["recurrent.weight"] @ h)
    h = (1 - f) * h + f * np.tanh(x_n + p["candidate.weight"] @ (f * h))
    return h, h


def mingru(p, x, h):
    z, n = affine(p, 2, x)
    h = (1 - sigmoid(z)) * h + sigmoid(z) * n
    return h, h


def minlstm(p, x, h):
    f, i, n = affine(p, 3, x)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * h + i / (f + i) * n
    return h, h


def qrnn(p, x, state):
    c, before = state
    old, new = np.split(p["input.weight"], 2, axis=1)  # the two taps of the convolution
    z, f, o = blocks(old @ before + new @ x + p["input.bias"], 3)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return sigmoid(o) * c, (c, x)


def sru(p, x, c):
    candidate, x_f, x_r = affine(p, 3, x)
    v_f, v_r = blocks(p["recurrent"], 2)
    b_f, b_r = blocks(p["bias"], 2)
    f, r = sigmoid(x_f + v_f * c + b_f), sigmoid(x_r + v_r * c + b_r)
    c = f * c + (1 - f) * candidate
    return r * c + (1 - r) * (p["highway.weight"] @ x) * 3**0.5, c


def lru(p, x, state):
    s = state[0] + 1j * state[1]
    b_real, b_imaginary = blocks(p["input.weight"], 2)
    c_real, c_imaginary = np.split(p["output.weight"], 2, axis=1)
    transition = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    s = transition * s + np.exp(p["gamma"]) * ((b_real + 1j * b_imaginary) @ x)
    y = ((c_real - 1j * c_imaginary) @ s).real + p["skip.weight"] @ x
    return y, (s.real, s.imag)


def rglru(p, x, h):
    u = p["input.weight"] @ x + p["input.bias"]
    r, i = blocks(sigmoid(p["gates.weight"] @ u + p["gates.bias"]), 2)
    a = sigmoid(p["decay"]) ** (8 * r)
    h = a * h + np.sqrt(1 - a**2) * (i * u)
    return h, h


def slstm(p, x, state):
    """As printed before stabilisation: the gates are plain exponentials."""
    h, c, n, m = state
    i, f, z, o = blocks(p["input.weight"] @ x + p["input.bias"] + h @ p["recurrent"][0], 4)
    c, n = c * np.exp(m), n * np.exp(m)
    c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
    n = sigmoid(f) * n + np.exp(i)
    h = sigmoid(o) * c / n
    return h, (h, c, n, np.zeros_like(m))


def mlstm(p, x, state):
    """As printed before stabilisation, on one head."""
    memory, n, m = (leaf[0] for leaf in state)
    memory, n = memory * np.exp(m), n * np.exp(m)
    q, k, v, o = blocks(p["input.weight"] @ x + p["input.bias"], 4)
    k = k / np.sqrt(len(k))
    i, f = p["gates.weight"] @ x + p["gates.bias"]
    memory = sigmoid(f) * memory + np.exp(i) * np.outer(v, k)
    n = sigmoid(f) * n + np.exp(i) * k
    h = sigmoid(o) * (memory @ q) / max(abs(n @ q), 1.0)
    return h, (memory[None], n[None], np.zeros(1))


def antisymmetric(p, x, h):
    u = p["recurrent"]
    matrix = u - u.T - 0.1 * np.eye(len(h))
    h = h + 0.1 * np.tanh(matrix @ h + affine(p, 1, x)[0])
    return h, h


def cornn(p, x, state):
    y, z = state
    force = np.tanh(p["recurrent.weight"] @ y + p["speed.weight"] @ z + affine(p, 1, x)[0])
    z = z + 0.042 * force - 0.042 * 2.7 * y - 0.042 * 4.7 * z
    y = y + 0.042 * z
    return y, (y, z)


def unicornn(p, x, state):
    y, z = state
    pace = 0.5 + 0.5 * np.tanh(p["pace"] / 2)
    z = z - 0.1 * pace * (np.tanh(p["recurrent"] * y + affine(p, 1, x)[0]) + 1.0 * y)
    y = y + 0.1 * pace * z
    return y, (y, z)


def lem(p, x, state):
    y, z = state
    x_d, x_e, x_z, x_y = affine(p, 4, x)
    u_d, u_e, u_z = blocks(p["recurrent.weight"], 3)
    d, e = sigmoid(x_d + u_d @ y), sigmoid(x_e + u_e @ y)
    z = (1 - d) * z + d * np.tanh(x_z + u_z @ y)
    y = (1 - e) * y + e * np.tanh(x_y + p["mixed.weight"] @ z)
    return y, (y, z)


def cfc(p, x, h):
    t = x[-1]
    v = 1.7159 * np.tanh(2 / 3 * (p["backbone.weight"] @ np.concatenate([x[:-1], h]) + p["backbone.bias"]))
    g, k, a, b = blocks(p["heads.weight"] @ v + p["heads.bias"], 4)
    share = sigmoid(a * t + b)
    h = np.tanh(g) * (1 - share) + np.tanh(k) * share
    return h, h


def gru_d(p, x, state):
    h, last = state
    values, mask, gap = np.split(x, 3)
    decay = np.exp(-np.maximum(0, p["input_decay"][0] * gap + p["input_decay"][1]))
    last = np.array([v if m else old for v, m, old in zip(values, mask, last, strict=True)])
    seen = mask * values + (1 - mask) * (decay * last + (1 - decay) * p["mean"])
    h = np.exp(-np.maximum(0, p["state_decay.weight"] @ gap + p["state_decay.bias"])) * h
    by_value, by_mask = np.split(p["input.weight"], 2, axis=1)
    x_r, x_z, x_n = blocks(by_value @ seen + by_mask @ mask + p["input.bias"], 3)
    u_r, u_z = blocks(p["recurrent.weight"], 2)
    r, z = sigmoid(x_r + u_r @ h), sigmoid(x_z + u_z @ h)
    h = (1 - z) * h + z * np.tanh(x_n + p["candidate.weight"] @ (r * h))
    return h, (h, last)


def t_lstm(p, x, state):
    h, c = state
    short = np.tanh(p["short_term.weight"] @ c + p["short_term.bias"])
    long = c - short
    adjusted = long + short * (1 / np.log(np.e + x[-1]))
    h, c = lstm_gates(*affine(p, 4, x[:-1], h), adjusted)
    return h, (h, c)


def correlate(frame, kernel):
    """Slide a kernel `(out, in, k, k)` over a frame `(in, height, width)` with zeros around it."""
    out, _, k, _ = kernel.shape
    _, height, width = frame.shape
    padded = np.pad(frame, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    result = np.zeros((out, height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + k, column : column + k]
            result[:, row, column] = (kernel * window).sum((1, 2, 3))
    return result


def conv_lstm(p, x, state):
    h, c = state
    sums = correlate(x, p["input.weight"]) + correlate(h, p["recurrent.weight"]) + p["input.bias"][:, None, None]
    h, c = lstm_gates(*blocks(sums, 4), c)
    return h, (h, c)


def conv_gru(p, x, h):
    x_r, x_z, x_n = blocks(correlate(x, p["input.weight"]) + p["input.bias"][:, None, None], 3)
    h_r, h_z = blocks(correlate(h, p["recurrent.weight"]), 2)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    h = (1 - z) * h + z * np.tanh(x_n + correlate(r * h, p["candidate.weight"]))
    return h, h


def echo_state(p, x, h):
    h = 0.7 * h + 0.3 * np.tanh(p["input"] @ x + p["recurrent"] @ h + p["bias"])
    return h, h


def segment_gru(p, x, h):
    return gru(p, np.maximum(p["embed.weight"] @ x + p["embed.bias"], 0), h)


REFERENCES: dict[str, Callable[[Numbers, np.ndarray, Any], tuple[np.ndarray, Any]]] = {
    "rnn": rnn,
    "irnn": irnn,
    "indrnn": indrnn,
    "lstm": lstm,
    "lstm-peephole": lstm_peephole,
    "lstm-coupled": lstm_coupled,
    "lstm-projected": lstm_projected,
    "lstm-layernorm": lstm_layernorm,
    "lstm-multiplicative": lstm_multiplicative,
    "janet": janet,
    "gru": gru,
    "gru-reset-before": gru_reset_before,
    "gru-layernorm": gru_layernorm,
    "mgu": mgu,
    "mingru": mingru,
    "minlstm": minlstm,
    "qrnn": qrnn,
    "sru": sru,
    "lru": lru,
    "rglru": rglru,
    "slstm": slstm,
    "mlstm": mlstm,
    "antisymmetric": antisymmetric,
    "cornn": cornn,
    "unicornn": unicornn,
    "lem": lem,
    "cfc": cfc,
    "gru-d": gru_d,
    "t-lstm": t_lstm,
    "conv-lstm": conv_lstm,
    "conv-gru": conv_gru,
    "echo-state": echo_state,
    "segment-gru": segment_gru,
}
