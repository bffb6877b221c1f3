"""Products of pairs of bfloat16: against float64 on rounded numbers, and the same bits by other instructions."""

import ctypes
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.engine.backends import default_target, half_target
from ostinato.engine.backends.cpu import gemm, launch, pack
from ostinato.engine.backends.cpu.compiler import emit_object, load_object, new_module
from ostinato.engine.backends.cpu.kernels import products
from ostinato.engine.backends.cpu.launch import contract
from ostinato.errors import UsageError

FULL = default_target(torch.device("cpu"))
EMULATED = replace(FULL, products="bfloat16 emulated")
_word, _address = ctypes.c_int64, ctypes.c_void_p
WIDTH = FULL.width(4)


def _targets():
    """The ways that this machine has, the emulated one last."""
    found = half_target(torch.device("cpu"))
    return [EMULATED] if found is None or found == EMULATED else [found, EMULATED]


@pytest.fixture(scope="module")
def kernels():
    found = []
    for target in _targets():
        module = new_module("pairs", target)
        gemm.define_gemm(module, "gemm", "float32", WIDTH, target.registers, products=target.products)
        pack.define_pack(module, "pack", "float32", WIDTH, products=target.products)
        code = load_object(emit_object(module, target), ["gemm", "pack"], target)
        gemm_words = (_word, _word, _word, _address, _word, _address, _address, _address, _word, _word, _address)
        pack_words = (_word, _word, _address, _word, _word, _address)
        found.append((code.function("gemm", *gemm_words), code.function("pack", *pack_words)))
    return found


def _rounded(x):
    return x.bfloat16().double()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 40),
    depth=st.integers(0, 150),
    cols=st.integers(1, 200),
    mode=st.integers(0, 2),
    lying=st.sampled_from(["straight", "turned", "spread"]),
)
def test_a_product_rounds_its_operands_and_nothing_else(kernels, rows, depth, cols, mode, lying) -> None:
    a = torch.randn(rows, depth + 3)[:, :depth]
    weights = {
        "straight": torch.randn(depth, cols),
        "turned": torch.randn(cols, depth).t(),
        "spread": torch.randn(3 * depth, 2 * cols)[::3, ::2],
    }[lying]
    padded = -(-cols // WIDTH) * WIDTH
    init, start = torch.randn(padded), torch.randn(rows, padded + 5)
    begin = [torch.zeros(()), start[:, :cols], init[:cols]][mode].double()
    expected = (begin + _rounded(a) @ _rounded(weights)).expand(rows, cols)
    results = []
    for multiply, lay_out in kernels:
        panels = torch.full((gemm.packed_size(depth, cols, WIDTH) + 1,), float("nan"))
        lay_out(depth, cols, weights.data_ptr(), *weights.stride(), panels.data_ptr())
        assert panels[-1].isnan()
        room = torch.full((rows * gemm.room_for(depth, WIDTH) + 1,), float("nan"))

        def run(part, out, panels=panels, room=room, multiply=multiply):
            multiply(
                part.shape[0], depth, cols, part.data_ptr(), a.stride(0), panels.data_ptr(), init.data_ptr(),
                out.data_ptr(), out.stride(0), mode, room.data_ptr(),
            )  # fmt: skip
            return out

        out = run(a, start.clone())
        torch.testing.assert_close(out[:, :cols].double(), expected, rtol=3e-5, atol=3e-5)
        assert torch.equal(out[:, padded:], start[:, padded:])
        assert room[-1].isnan()
        for row in range(0, rows, 7):
            assert torch.equal(run(a[row : row + 1], start[row : row + 1].clone())[0, :cols], out[row, :cols])
        results.append(out)
    assert torch.equal(results[0], results[-1])


@settings(max_examples=40, deadline=None)
@given(depth=st.integers(0, 600), n=st.integers(1, 70), m=st.integers(1, 150), wide=st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_a_contraction_rounds_its_operands_and_nothing_else(depth, n, m, wide) -> None:
    a, b = (torch.randn(depth, size + 4 * wide)[:, :size] for size in (n, m))
    found = [contract(products("float32", target), a, b) for target in _targets()]
    torch.testing.assert_close(found[0].double(), _rounded(a).t() @ _rounded(b), rtol=1e-4, atol=1e-3)
    assert torch.equal(found[0], found[-1])


def test_a_contraction_has_the_same_bits_in_any_shares(monkeypatch) -> None:
    monkeypatch.setattr(launch, "SMALL", 0)
    a, b = torch.randn(700, 1100), torch.randn(700, 33)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(contract(products("float32", _targets()[0]), a, b))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_numbers_that_are_none_stay_none_and_large_ones_become_infinite() -> None:
    a = torch.tensor([[float("nan")], [float("inf")], [3.4e38], [-3.4e38]])
    for target in _targets():
        found = contract(products("float32", target), a.t().contiguous(), torch.ones(1, 3))[:, 0]
        assert found[0].isnan()
        assert found[1:].tolist() == [float("inf"), float("inf"), float("-inf")]


def test_the_way_is_chosen_by_processor_and_wish(monkeypatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setenv("OSTINATO_BF16", "off")
    assert half_target(cpu) is None
    monkeypatch.setenv("OSTINATO_BF16", "on")
    assert half_target(cpu).products in ("bfloat16", "bfloat16 emulated")
    assert half_target(torch.device("meta")) is None
    if FULL.triple.startswith("x86"):
        monkeypatch.setenv("OSTINATO_TARGET", "baseline")
        assert half_target(cpu).products == "bfloat16 emulated"
        monkeypatch.setenv("OSTINATO_BF16", "auto")
        assert half_target(cpu) is None
    monkeypatch.setenv("OSTINATO_BF16", "yes")
    with pytest.raises(UsageError, match='OSTINATO_BF16 is "yes"; expected auto, on or off'):
        half_target(cpu)
