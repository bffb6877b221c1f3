"""One process of `torch_tests.py`: runs the tests of one file one way and writes each outcome down at once."""

from __future__ import annotations

import importlib.util
import inspect
import json
import random
import re
import sys
import time
import types
import unittest
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

NAMES = re.compile(r"rnn|lstm|gru|recurrent|packed_?seq|pack_padded|pad_packed|variable_sequence", re.IGNORECASE)
SOURCES = re.compile(
    r"(?<![A-Za-z])(RNN|LSTM|GRU)(Cell|Base)?(?![a-z])|_(rnn|lstm|gru)\b|pack_padded|pack_sequence|_rnn_|_lstm_|_gru_"
)
LAYERS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
FEW = 12
"""Of a test with more variants (one for each module, operation or type), those alone are run whose names fit."""
MOST_GONE = 40
"""Names that a file of tests may import and that are gone; each is a new try to import it."""


def put_in_place(engine: bool) -> None:
    """Put our layers where those of `torch.nn` are looked for; with `engine`, they never leave a call to PyTorch."""
    import ostinato.nn
    from ostinato.nn.dropin import choice

    for name in LAYERS:
        for place in (torch.nn, torch.nn.modules):
            setattr(place, name, getattr(ostinato.nn, name))
    if engine:
        choice.pays = lambda *_: True  # type: ignore[assignment]


def load(path: Path) -> types.ModuleType:
    """Import a file of tests."""
    # not before our layers are in place: it lists the modules of torch.nn
    from torch.testing._internal import common_utils

    sys.path.insert(0, str(path.parent))
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [str(path)]
    settings: Any = common_utils
    if hasattr(settings, "parse_cmd_line_args"):  # a script of tests calls it itself; older versions, at import
        settings.parse_cmd_line_args()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    for _ in range(MOST_GONE):
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            stand_in(error)
        else:
            break
    Gone.importing = False
    return module


class Gone(list[Any]):
    """Stands for a name that the tests import and that the installed PyTorch has no more: false, and nothing in it."""

    importing = True

    def __call__(self, *given: Any, **_: Any) -> Any:
        """While tests are imported, stand for the result as well or leave what is decorated; later, skip the test."""
        if not Gone.importing:
            raise unittest.SkipTest("needs what the installed version of PyTorch has no more")
        return given[0] if len(given) == 1 and callable(given[0]) else Gone()


def stand_in(error: ImportError) -> None:
    """Put a stand-in where a name is missing in a module of PyTorch's, or raise the error again."""
    place = sys.modules.get(error.name or "")
    missing = re.search(r"cannot import name '(\w+)'", str(error))
    if place is None or missing is None or not (error.name or "").startswith("torch"):
        raise error
    print(f"{error.name}.{missing[1]} is gone", file=sys.stderr)
    setattr(place, missing[1], Gone())


def every_test(module: types.ModuleType) -> Iterator[tuple[str, unittest.TestCase, str]]:
    """Yield the tests of a module: name, test, source."""
    seen = set()
    for kind in list(vars(module).values()):
        if not (isinstance(kind, type) and issubclass(kind, unittest.TestCase)):
            continue
        for method in unittest.defaultTestLoader.getTestCaseNames(kind):
            name = f"{kind.__qualname__}.{method}"
            if name not in seen:
                seen.add(name)
                yield name, kind(method), source(getattr(kind, method))


def source(method: Any) -> str:
    """Return the source of a test, below its decorators' wrappers."""
    try:
        return inspect.getsource(inspect.unwrap(method))
    except (OSError, TypeError):
        return ""


def chosen(module: types.ModuleType, match: str) -> list[tuple[str, unittest.TestCase]]:
    """Return the tests that speak of recurrent layers."""
    tests = list(every_test(module))
    variants = Counter(text for _, _, text in tests)
    return [
        (name, test)
        for name, test, text in tests
        if (NAMES.search(name) or (SOURCES.search(text) and variants[text] <= FEW)) and re.search(match, name)
    ]


def outcome(test: unittest.TestCase) -> tuple[str, str]:
    """Run a test; return its status and message."""
    result = unittest.TestResult()
    random.seed(0)
    torch.manual_seed(0)
    test.run(result)
    wrong = [message for _, message in (*result.errors, *result.failures)]
    if result.unexpectedSuccesses:
        wrong.append("passed, and was expected to fail")
    if wrong:
        return "failed", wrong[0]
    return ("skipped", result.skipped[0][1]) if result.skipped else ("passed", "")


def main(file: str, way: str, match: str, journal: str) -> None:
    """Run all tests of a file that the journal does not hold yet."""
    if way != "torch":
        put_in_place(engine=way == "engine")
    lines = [json.loads(line) for line in Path(journal).read_text(encoding="utf-8").splitlines() if line]
    done = {line["test"] for line in lines}
    tests = chosen(load(Path(file).resolve()), match)
    with Path(journal).open("a", encoding="utf-8", buffering=1) as sink:
        for name, test in tests:
            if name in done:
                continue
            sink.write(json.dumps({"event": "begin", "test": name}) + "\n")
            began = time.perf_counter()
            status, message = outcome(test)
            taken = time.perf_counter() - began
            line = {"event": "end", "test": name, "status": status, "seconds": taken, "message": message[-4000:]}
            sink.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
