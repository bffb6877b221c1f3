"""Numbers that programs pass on in words with marks: what a word keeps, who waits for it, and what a wrong one does."""

import math

import pytest
import torch
from triton_cases import Case, both, products_in_tf32, share_columns

import ostinato
from ostinato.engine.backends.triton.exchange import Exchange
from ostinato.engine.backends.triton.kernels import interpreted, packed_words
from ostinato.engine.backends.triton.phases import order
from ostinato.engine.backends.triton.prepare import prepare
from ostinato.engine.backends.triton.source import write
from ostinato.engine.backends.triton.tiles import Tiling
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.front.state import initial_state
from ostinato.engine.plan.split import split
from ostinato.engine.run.compiled import find

triton = pytest.importorskip("triton")
tl = triton.language
from ostinato.engine.backends.triton import device as functions  # noqa: E402

DEVICE = "cpu" if interpreted() else "cuda"
SPECIAL = [0.0, -0.0, 1.0, -1.0, math.pi, 65504.0, -65504.0, 3.4e38, -3.4e38, 3.4028234663852886e38, 1e-7, -6e-8,
           1e-40, -1e-45, 1.17549435e-38, math.inf, -math.inf, math.nan, 1.00048828125, 0.1]  # fmt: skip
TAGS = [1, 2, 8191, 8192, 8193, 65535, 65536, 65537, (1 << 31) - 1]
"""Steps, more than the 13 and 16 bits of a mark among them."""


@triton.jit
def _there_and_back(x, words, found, tag, asked, count: tl.constexpr, packing: tl.constexpr, kind: tl.constexpr):
    place = tl.arange(0, count)
    value = tl.load(x + place)
    if packing == "half":
        word = functions.pack_half(value, tag, kind)
        back = functions.unpack_half(word, asked, kind)
    elif packing == "tf32":
        word = functions.pack_tf32(value, tag)
        back = functions.unpack_tf32(word, asked)
    elif packing == "f32":
        word = functions.pack_f32(value, tag)
        back = functions.unpack_f32(word, asked)
    else:
        word = functions.high_word(value, tag)
        low = functions.low_word(value, tag)
        tl.store(words + count + place, low)
        back = functions.unpack_f64(word, low, asked)
    tl.store(words + place, word)
    tl.store(found + place, back)


FORMS = {
    "bfloat16": ("half", torch.bfloat16, torch.float32),
    "float16": ("half", torch.float16, torch.float32),
    "tf32": ("tf32", torch.float32, torch.float32),
    "float32": ("f32", torch.float32, torch.float32),
    "float64": ("f64", torch.float64, torch.float64),
}
"""Of each way of packing the type of what is passed on, and of what the kernel computes with."""


def _passed(form, values, tag, asked):
    """Return words, and what a program that asks for a step has of them."""
    packing, kind, computed = FORMS[form]
    x = values.to(computed)
    words = torch.zeros(2, len(x), dtype=torch.int32 if packing in ("half", "tf32") else torch.int64, device=DEVICE)
    found = torch.zeros(len(x), dtype=kind, device=DEVICE)
    narrow = getattr(tl, str(kind).removeprefix("torch."))
    _there_and_back[(1,)](x.to(DEVICE), words, found, tag, asked, len(x), packing, narrow)
    return words.cpu(), found.cpu()


def _values(form):
    some = torch.randn(64 - len(SPECIAL), dtype=torch.float64) * 10.0 ** torch.randint(-9, 9, (64 - len(SPECIAL),))
    values = torch.cat([torch.tensor(SPECIAL, dtype=torch.float64), some])
    # how bfloat16 is rounded is not what is tested, and Triton's interpreter cuts digits off, and small numbers
    return torch.where(values.abs() < 1e-38, 0, values).bfloat16().double() if form == "bfloat16" else values


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("form", FORMS)
def test_a_word_keeps_its_number_and_its_mark(form, tag):
    values = _values(form)
    words, found = _passed(form, values, tag, tag)
    packing, kind, computed = FORMS[form]
    if form == "tf32":
        near = values.float()
        bits = (near.view(torch.int32).to(torch.int64) & 0xFFFFFFFF) + 0x1000 & 0xFFFFE000  # to the nearest
        expected = torch.where(near.isnan(), near, (bits - (bits >> 31 << 32)).to(torch.int32).view(torch.float32))
    else:
        expected = values.to(computed).to(kind)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    there = ~expected.isnan()
    assert torch.equal(found[there].signbit(), expected[there].signbit())
    mark = {"half": 0xFFFF, "tf32": 0x1FFF}.get(packing, 0xFFFFFFFF)
    for part in words[: 2 if packing == "f64" else 1]:
        assert (part & mark == tag & mark).all()


@pytest.mark.parametrize("form", FORMS)
def test_first_states_are_packed_as_kernels_do(form):
    values = _values(form)
    packing, kind, computed = FORMS[form]
    words, _ = _passed(form, values, 1, 1)
    ours = packed_words(values.to(computed), packing, kind).T
    numbers = ~values.to(computed).to(kind).isnan()
    assert torch.equal(ours[:, numbers], words[: len(ours), numbers])
    if packing != "f64":
        shift = 32 if packing == "f32" else 0
        bits = ours[0, ~numbers] >> shift
        whole = (bits >> 16).to(torch.int16).view(kind) if packing == "half" else bits.to(torch.int32).view(kind)
        assert whole.isnan().all()


@pytest.mark.skipif(not interpreted(), reason="on a GPU whoever reads a word waits until its mark is right")
@pytest.mark.parametrize(("tag", "asked"), [(1, 2), (3, 1), (0, 1), (8192, 8191), (65535, 65536)])
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_mark_is_found_by_the_interpreter(form, tag, asked):
    assert _passed(form, torch.ones(32, dtype=torch.float64), tag, asked)[1].isnan().all()


@pytest.mark.skipif(not interpreted(), reason="on a GPU it would wait for ever")
@pytest.mark.parametrize(("dtype", "tf32"), [(torch.float64, False), (torch.float32, False), (torch.float32, True),
                                             (torch.bfloat16, False), (torch.float16, False)])  # fmt: skip
def test_a_number_of_another_step_makes_the_result_nan(dtype, tf32, monkeypatch):
    share_columns(monkeypatch, 2, rows=1)
    rightly = Exchange._store
    case, cell = Case(steps=2, batch=1, dtype=dtype), torch.nn.RNNCell(3, 16).to(dtype)

    def wrongly(self, slot, parity, value, place, mask, tag, *, part=False):
        return rightly(self, slot, parity, value, place, mask, f"({tag}) + 1", part=part)

    with products_in_tf32(tf32):
        assert both(cell, 3, case)[1][0].isfinite().all()
        monkeypatch.setattr(Exchange, "_store", wrongly)
        assert both(cell, 3, case)[1][0].isnan().any()


def _text(name, width, programs, which="forward", rows=1):
    cell = ostinato.cells.CATALOGUE[name](width, width)
    xs = torch.zeros(2, 1, width, requires_grad=True)
    program = getattr(find(cell, cell, xs, initial_state(cell, xs[0].detach())).executable.plan, which)
    parts = split(program)
    phases = order(prepare(parts.core if parts else program), programs)
    form = Form(Tiling(rows, programs, 4), "float32", "float32", "ieee", False, "", False)
    return phases, write(phases, form).text


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize("name", ["lstm", "lstm-layernorm", "gru-layernorm", "slstm", "lstm-projected"])
@pytest.mark.parametrize("programs", [2, 3, 4])
def test_rows_of_several_programs_meet_at_most_once_a_step(name, programs, which):
    phases, text = _text(name, 32, programs, which)
    lines = [line.strip() for line in text.splitlines() if "barrier" in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("tl.debug_barrier()" if phases.in_step else "barrier(flags,")
    assert text.count("AGAIN:") >= (phases.count > 1)


def test_tiles_of_rows_meet_between_phases():
    phases, text = _text("lstm-layernorm", 64, 4, rows=16)
    assert text.count("barrier(flags,") >= phases.count
    assert "AGAIN" not in text


def test_programs_that_need_not_wait_for_all_others_meet_after_a_step():
    assert _text("lstm", 20, 3)[0].in_step
    phases, text = _text("rnn", 6, 3)  # two programs have nothing to send
    assert not phases.in_step
    assert "barrier(flags, group, pid, tag, 3, 4)" in text


@pytest.mark.parametrize("name", ["lstm-layernorm", "mgu", "slstm", "mlstm", "lstm-projected"])
def test_what_is_read_at_once_begins_where_a_load_may(name):
    cell = ostinato.cells.CATALOGUE[name](20, 20)
    xs = torch.zeros(2, 1, 20, requires_grad=True)
    plan = find(cell, cell, xs, initial_state(cell, xs[0].detach())).executable.plan
    for which in ("forward", "backward"):
        program = getattr(plan, which)
        parts = split(program)
        phases = order(prepare(parts.core if parts else program), 2)
        assert all(slot.start % 4 == 0 for slot in phases.slots.values())
        ends = dict.fromkeys(phases.sizes, 0)
        for slot in sorted(phases.slots.values(), key=lambda slot: (slot.memory, slot.start)):
            assert slot.start >= ends[slot.memory]
            ends[slot.memory] = slot.start + slot.size
        assert all(end <= phases.sizes[memory] for memory, end in ends.items())
