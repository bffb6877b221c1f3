"""The examples in the docstrings of the drop-ins run as they stand there."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["accelerate", "cells", "convert", "layers"])
def test_examples_give_what_they_say(name) -> None:
    module = importlib.import_module(f"ostinato.nn.dropin.{name}")
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
