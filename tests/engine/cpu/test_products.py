"""The product, packing and contraction against float64, and the bits that rows keep."""

import ctypes
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir

from ostinato.engine.backends import default_target
from ostinato.engine.backends.cpu import gemm, launch, pack
from ostinato.engine.backends.cpu.compiler import emit_object, load_object, new_module
from ostinato.engine.backends.cpu.kernels import products
from ostinato.engine.backends.cpu.launch import contract

TARGET = default_target(torch.device("cpu"))
_word, _address = ctypes.c_int64, ctypes.c_void_p
FORMATS = [("float32", 16), ("float32", 8), ("float32", 4), ("float64", 8), ("float64", 4), ("float64", 2)]


@pytest.fixture(scope="module")
def kernels():
    """Products of every format and width; vectors wider than the machine's are split by LLVM."""
    module = new_module("products", TARGET)
    names = []
    for dtype, width in FORMATS:
        for kind, define in (("gemm", gemm.define_gemm), ("pack", pack.define_pack)):
            name = f"{kind}_{dtype}_{width}"
            extra = (TARGET.registers,) if kind == "gemm" else ()
            assert isinstance(define(module, name, dtype, width, *extra), ir.Function)
            names.append(name)
    found = load_object(emit_object(module, TARGET), names, TARGET)
    gemm_words = (_word, _word, _word, _address, _word, _address, _address, _address, _word, _word, _address)
    pack_words = (_word, _word, _address, _word, _word, _address)
    return {name: found.function(name, *(gemm_words if name.startswith("gemm") else pack_words)) for name in names}


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    rows=st.integers(0, 40),
    depth=st.integers(0, 70),
    cols=st.integers(1, 200),
    mode=st.integers(0, 2),
    lying=st.sampled_from(["straight", "turned", "spread"]),
)
def test_a_product_is_right_and_each_row_has_the_bits_it_has_alone(
    kernels, form, rows, depth, cols, mode, lying
) -> None:
    dtype, width = form
    kind = getattr(torch, dtype)
    a = torch.randn(rows, depth + 3, dtype=kind)[:, :depth]
    weights = {
        "straight": torch.randn(depth, cols, dtype=kind),
        "turned": torch.randn(cols, depth, dtype=kind).t(),
        "spread": torch.randn(3 * depth, 2 * cols, dtype=kind)[::3, ::2],
    }[lying]
    padded = -(-cols // width) * width
    panels = torch.full((gemm.packed_size(depth, cols, width) + 1,), float("nan"), dtype=kind)
    kernels[f"pack_{dtype}_{width}"](depth, cols, weights.data_ptr(), *weights.stride(), panels.data_ptr())
    assert panels[-1].isnan()
    init = torch.randn(padded, dtype=kind)
    start = torch.randn(rows, padded + 5, dtype=kind)

    def run(part, out):
        kernels[f"gemm_{dtype}_{width}"](
            part.shape[0], depth, cols, part.data_ptr(), a.stride(0), panels.data_ptr(), init.data_ptr(),
            out.data_ptr(), out.stride(0), mode, None,
        )  # fmt: skip
        return out

    out = run(a, start.clone())
    begin = [torch.zeros(()), start[:, :cols], init[:cols]][mode].double()
    expected = begin + a.double() @ weights.double()
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    torch.testing.assert_close(out[:, :cols].double(), expected.expand(rows, cols), rtol=tolerance, atol=tolerance)
    assert torch.equal(out[:, padded:], start[:, padded:])
    for row in range(0, rows, 7):
        alone = run(a[row : row + 1], start[row : row + 1].clone())
        assert torch.equal(alone[0, :cols], out[row, :cols])


def _products(kind, target=TARGET):
    return products("float64" if kind is torch.double else "float32", target)


@settings(max_examples=80, deadline=None)
@given(depth=st.integers(0, 600), n=st.integers(1, 70), m=st.integers(1, 150), double=st.booleans(), wide=st.booleans())
def test_a_contraction_is_right_with_any_sizes(depth, n, m, double, wide) -> None:
    kind = torch.double if double else torch.float
    a, b = (torch.randn(depth, size + 4 * wide, dtype=kind)[:, :size] for size in (n, m))
    tolerance = 1e-11 if double else 1e-4
    torch.testing.assert_close(
        contract(_products(kind), a, b).double(), a.double().t() @ b.double(), rtol=tolerance, atol=10 * tolerance
    )


def test_a_contraction_has_the_same_bits_on_any_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(launch, "SMALL", 0)
    a, b = torch.randn(2000, 96), torch.randn(2000, 33)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(contract(_products(torch.float), a, b))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_a_target_says_whether_products_are_fused_with_sums() -> None:
    """Both kinds of code live in one process; each is right to the last bit."""
    a, b = torch.randn(40, 5), torch.randn(40, 7)
    once, twice = torch.zeros(5, 7, dtype=torch.double), torch.zeros(5, 7)
    for left, right in zip(a, b, strict=True):
        # a product of two float32 is exact in float64, and so is, but for the rarest ties, its sum
        once = (once + torch.outer(left.double(), right.double())).float().double()
        twice = twice + torch.outer(left, right)
    fused, apart = (contract(_products(torch.float, replace(TARGET, fused=kind)), a, b) for kind in (True, False))
    assert torch.equal(fused, once.float())
    assert torch.equal(apart, twice)
    assert not torch.equal(fused, apart)
