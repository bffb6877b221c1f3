"""A packed file that is cut short anywhere is refused, whichever way it is packed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import read_table
from ostinato.data.unpacking import unpack
from ostinato.errors import DataError

zstandard = pytest.importorskip("zstandard")

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(zstandard.compress(content)),
}
_NOISE = np.random.default_rng(0).bytes(60_000).hex().encode()


@pytest.mark.parametrize("suffix", _PACKERS)
@given(share=st.floats(0, 1, exclude_max=True), second=st.booleans())
@settings(max_examples=30, deadline=None)
def test_what_is_cut_short_is_refused_and_what_is_whole_is_read(suffix: str, share: float, second: bool) -> None:
    packed = _PACKERS[suffix](_NOISE)
    before = packed if second else b""
    assert unpack("a", before + packed, suffix) == _NOISE * (1 + second)
    cut = before + packed[: max(1, int(share * len(packed)))]
    with pytest.raises(DataError, match="cut short or damaged"):
        unpack("a", cut, suffix)


def test_a_zst_file_of_several_frames_some_to_be_skipped_is_read_whole() -> None:
    skipped = (0x184D2A50).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"notes"
    frame = bytes(zstandard.compress(_NOISE))
    assert unpack("a", skipped + frame + skipped + frame, ".zst") == 2 * _NOISE
    with pytest.raises(DataError, match="damaged"):
        unpack("a", frame + b"garbage", ".zst")


def test_a_table_of_which_a_part_is_there_is_not_read_partly(tmp_path: Path) -> None:
    rows = "y\n" + "\n".join(str(value) for value in np.random.default_rng(0).normal(size=20_000)) + "\n"
    path = tmp_path / "a.csv.zst"
    content = bytes(zstandard.compress(rows.encode()))
    for kept in (1, 4, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=r"a\.csv\.zst cannot be unpacked .*cut short"):
            read_table(path)
