"""The examples in docstrings run as they stand there."""

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest
import torch

import ostinato

ROOT = Path(ostinato.__file__).parent
MODULES = [
    ".".join(("ostinato", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
SUBWORDS = "ostinato.data.text.subwords"


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name) -> None:
    if name == SUBWORDS and importlib.util.find_spec("tokenizers") is None:
        pytest.skip("needs the extra text")
    if name.startswith("ostinato.keras") and importlib.util.find_spec("keras") is None:
        pytest.skip("needs the extra keras")
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
