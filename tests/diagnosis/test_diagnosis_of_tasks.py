"""A law over the registry: a fitted model of any task is diagnosed on its data, in the unit of its steps."""

import re

import pytest

import ostinato
from laws import CASES
from ostinato.tasks.base.registry import homes, load

_UNITS = {
    "forecaster": r"6 rows \(about",  # of 6 hours
    "anomaly detector": r"rows \(about",
    "language model": "tokens",
    "translator": "tokens",
    "text classifier": "tokens",
    "sequence tagger": "tokens",
    "event predictor": "events",
    "patient monitor": "measurement",
    "progression model": "visits",
    "speech recogniser": r"frames \(about",
    "composer": "steps",
    "video classifier": r"frames \(about",
    "video anomaly detector": "frames",
}
KINDS = sorted({home.kind for home in homes().values()})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_model_of_any_task_is_diagnosed_in_the_unit_of_its_steps(kind: str, tmp_path) -> None:
    case = CASES[kind]
    data = case.data(False, 0)
    case.make().set_params(epochs=1).fit(data).save(tmp_path / "model")
    model = load(tmp_path / "model")
    before = {name: value.clone() for name, value in model._model().network.state_dict().items()}
    found = ostinato.diagnose(model, data, max_seconds=20.0)
    assert all((value == before[name]).all() for name, value in model._model().network.state_dict().items())
    assert not found.skipped
    assert found.numbers["parts"]
    assert re.search(_UNITS.get(kind, "steps"), found.text()), found.text()
    assert found.to_html(tmp_path / "why.html").stat().st_size < 2_000_000
