"""The examples in the docstrings of the losses run, and every public function and module has one."""

import doctest
import importlib
import pkgutil

import pytest

from ostinato.nn import losses

MODULES = [module.name for module in pkgutil.iter_modules(losses.__path__)]
# what functions return, or are given
RESULTS = {"Alignment", "Emission", "Hypothesis", "LabelReader", "LanguageModel", "Scorer", "TagConstraints"}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_file_run(name) -> None:
    assert doctest.testmod(importlib.import_module(f"ostinato.nn.losses.{name}")).failed == 0


@pytest.mark.parametrize("name", losses.__all__)
def test_every_public_name_has_a_docstring_and_what_does_something_an_example(name) -> None:
    text = getattr(losses, name).__doc__
    assert text
    assert ">>>" in text or name in RESULTS
