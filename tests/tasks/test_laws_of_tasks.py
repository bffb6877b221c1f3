"""What holds for every task, whatever it is about: one face, parameters written once, one way to disk and back."""

import inspect
import json

import numpy as np
import pytest
import torch

import ostinato
from laws import CASES
from ostinato.artifact import kind_of
from ostinato.cells import CATALOGUE
from ostinato.cli.command import Command
from ostinato.cli.main import main, make_parser
from ostinato.errors import ArtifactError, OstinatoError, UsageError
from ostinato.options import parameters_of
from ostinato.report.glossary import explain, glossary
from ostinato.report.page import render
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.registry import homes
from ostinato.training.config import TrainingOptions
from whole_html import checked

TASKS = {home.kind: home for home in homes().values() if home.kind in CASES}
FACE = ("fit", "predict", "evaluate", "score", "stream", "save", "load", "report", "update", "get_params", "set_params")
CLASSES = {"text classifier", "sequence classifier", "sequence tagger", "event predictor"}
ALL = pytest.mark.parametrize("kind", TASKS)


def plain_gru(input_size, hidden_size):
    """A cell of a user's own: the GRU by another name."""
    return CATALOGUE["gru"](input_size, hidden_size)


def other_cell(input_size, hidden_size):
    return CATALOGUE["lstm"](input_size, hidden_size)


def made(kind, **changes):
    return CASES[kind].make().set_params(**{"epochs": 1, **changes})


def weights(model):
    return model.fitted_.model.network.state_dict()


def evaluated(model, kind):
    return model.evaluate(*[CASES[kind].data(False, 7)])


@pytest.fixture(scope="module", params=TASKS)
def fitted(request, tmp_path_factory):
    """The kind of a task, its model, the folder it was saved to."""
    kind = request.param
    model = made(kind).fit(CASES[kind].data(False, 0))
    return kind, model, model.save(tmp_path_factory.mktemp("laws") / "model")


# --- parameters, written once -----------------------------------------------------------------------------------------


def test_every_task_of_the_package_is_among_the_cases() -> None:
    assert set(TASKS) == set(CASES)


@ALL
def test_the_registry_and_the_task_say_the_same_of_it(kind) -> None:
    home = TASKS[kind]
    estimator = home.estimator_class()
    assert (home.name, home.kind) == (estimator.about.name, estimator.about.kind)
    assert issubclass(estimator, home.parameters_class())
    assert issubclass(estimator, Estimator)
    assert set(FACE) <= set(dir(estimator))
    assert hasattr(estimator, "predict_proba") or kind not in CLASSES


@ALL
def test_the_signature_is_that_of_the_parameters_and_get_set_and_clone_agree(kind) -> None:
    from sklearn.base import clone

    model = CASES[kind].make()
    signature = inspect.signature(type(model))
    assert set(signature.parameters) == set(model.get_params())
    for own in parameters_of(type(model)):
        given = signature.parameters[own.name].default
        assert given is inspect.Parameter.empty or given == own.default
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(**model.get_params()) is model
    with pytest.raises(UsageError, match='no parameter "hiden_size"'):
        model.set_params(hiden_size=3)


@ALL
def test_every_parameter_has_a_flag_a_help_and_limits(kind) -> None:
    command = Command(TASKS[kind])
    parser = make_parser()
    given = {}
    verbs = next(action for action in parser._actions if action.dest == "==SUPPRESS==" or action.choices)
    fit = verbs.choices["fit"]
    tasks = next(action for action in fit.filled()._actions if action.choices)
    actions = tasks.choices[command.name].filled()._actions
    flags = {flag: action for action in actions for flag in action.option_strings}
    for own in parameters_of(TASKS[kind].parameters_class()):
        assert own.help
        if own.typed and own.kinds != ("mapping",):
            assert own.flag in flags, own.name
            given[own.name] = flags[own.flag]
            assert own.help.split("%")[0][:30] in (flags[own.flag].help or "").replace("%%", "%")


@ALL
def test_what_no_parameter_can_be_is_refused_in_one_sentence_that_names_it(kind) -> None:
    for own in parameters_of(TASKS[kind].parameters_class()):
        bad = []
        low, above, high, below = own.limits
        bad += [low - 1] if low is not None else []
        bad += [above] if above is not None else []
        bad += [high + 1] if high is not None else []
        bad += [below] if below is not None else []
        bad += ["no such word"] if own.choices and str not in own.kinds and "names" not in own.kinds else []
        bad += [object()] if "callable" not in own.kinds else []
        for value in bad:
            with pytest.raises(UsageError, match=f"^{own.name} is ") as caught:
                made(kind, **{own.name: value}).fit(CASES[kind].data(False, 0))
            assert str(caught.value).count(";") == 1, own.name
            assert "expected" in str(caught.value)


def test_the_parameters_of_training_are_the_same_in_every_task() -> None:
    """Name, kinds, choices, limits and help; a task may have another default."""
    shared = {own.name: own for own in parameters_of(TrainingOptions)}
    for home in TASKS.values():
        known = {own.name: own for own in parameters_of(home.parameters_class())}
        for name, own in shared.items():
            other = known[name]
            assert set(own.kinds) <= {*other.kinds}, (home.kind, name)
            if name not in ("batch_size", "epochs"):
                assert (own.help, own.choices, own.limits) == (other.help, other.choices, other.limits), (
                    home.kind,
                    name,
                )


@pytest.mark.slow
@ALL
def test_gradient_descent_with_momentum_and_every_average_is_the_same_option_in_every_task(kind) -> None:
    for changes in ({"optimizer": "sgd", "momentum": 0.9, "averaging": "polyak"}, {"averaging": "ema"}):
        made(kind, **changes).fit(CASES[kind].data(False, 0))


@ALL
def test_a_network_that_no_memory_holds_is_refused_before_it_is_made(kind) -> None:
    with pytest.raises(OstinatoError, match=r"weights|memory|hidden_size"):
        made(kind, hidden_size=10_000_000).fit(CASES[kind].data(False, 0))


# --- a fit, and what stands beside it ---------------------------------------------------------------------------------


def test_a_fit_leaves_scores_beside_baselines_a_history_and_a_summary(fitted) -> None:
    kind, model, _ = fitted
    assert next(iter(model.scores_.values)) == "model"
    assert len(model.scores_.values) > 1
    assert set(model.scores_.values) == set(model.summary_.scores)
    assert model.scores_.verdict == model.summary_.verdict
    assert len(model.history_.rows) == 1
    assert model.summary_.task == kind
    assert model.summary_.seconds >= model.history_.rows[-1].seconds
    parts = inspect.signature(type(model))
    assert set(model.summary_.settings) >= set(parts.parameters)
    json.dumps(model.scores_.plain())


UNTESTED = {
    "translator": {"loss", "perplexity"},
    "speech recogniser": {"loss"},
    "captioner": {"loss", "perplexity"},
}  # of the references: no baseline has a likelihood to compare with


def test_every_measure_has_units_which_come_to_it_and_a_test_against_every_baseline(fitted) -> None:
    kind, model, _ = fitted
    scores = model.scores_
    for name, units in scores.units.items():
        tested = {own for own in scores.values[name] if not own.startswith("coverage ")} - UNTESTED.get(kind, set())
        tested -= model.task.descriptive - set(units.measures)  # what only describes needs none
        assert tested <= set(units.measures)
        for measure in tested:
            assert units.measures[measure].total == pytest.approx(scores.values[name][measure], rel=1e-6, nan_ok=True)
        if name != "model":
            # what only describes is not tested
            finite = {own for own in tested & set(scores.better) if np.isfinite(scores.values[name][own])}
            assert set(scores.against.get(name, {})) == finite & set(scores.model)
    assert set(scores.units) == set(scores.values)
    assert model.summary_.against == scores.against


def test_the_same_seed_gives_the_same_weights(fitted) -> None:
    kind, model, _ = fitted
    again = made(kind).fit(CASES[kind].data(False, 0))
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(model).items())
    assert again.scores_.values == model.scores_.values


def test_a_model_comes_back_from_disk_with_its_answers_scores_and_baselines(fitted) -> None:
    kind, model, folder = fitted
    again = ostinato.load(folder)
    assert type(again) is type(model)
    assert kind_of(folder) == kind
    assert again.get_params() == model.get_params()
    assert again.scores_ == model.scores_
    assert repr(again.summary_) == repr(model.summary_)  # a loss that is NaN, without a validation part, is one
    one, two = evaluated(model, kind), evaluated(again, kind)
    np.testing.assert_equal(one.values, two.values)
    assert set(one.values) == set(model.scores_.values)
    assert model.score(CASES[kind].data(False, 7)) == again.score(CASES[kind].data(False, 7))


def test_evaluate_prints_the_same_keys_for_every_task(fitted) -> None:
    kind, model, _ = fitted
    plain = evaluated(model, kind).plain()
    assert set(plain) == {"protocol", "count", "of", "values", "better", "verdict", "details", "against"}
    assert plain["count"] > 0
    assert set(plain["better"]) <= set(plain["values"]["model"]) | {
        measure for own in plain["values"].values() for measure in own
    }


def test_a_report_is_written_of_the_fitted_model_and_of_the_loaded_one(fitted, tmp_path) -> None:
    _, model, folder = fitted
    one = model.report(tmp_path / "one.html").read_text()
    assert ostinato.load(folder).report(tmp_path / "two.html").read_text() == one
    assert model.scores_.verdict.split(";")[0].split("'")[0] in one


def test_a_model_shows_itself_in_a_notebook_fitted_or_not_and_draws_itself(fitted) -> None:
    kind, model, _ = fitted
    text = checked(model._repr_html_())
    assert model.scores_.verdict[:40] in text
    assert all(name in text for name in model.scores_.values)
    assert all(own.name in text for own in parameters_of(type(model)))
    assert model.scores_.verdict[:40] in checked(model.scores_._repr_html_())
    assert model.plot()._repr_png_().startswith(b"\x89PNG")
    bare = CASES[kind].make()
    assert "not fitted" in checked(bare._repr_html_())
    with pytest.raises(UsageError, match="is not fitted"):
        bare.plot()


def test_every_measure_of_a_report_is_explained_and_every_difference_signed_and_drawn(fitted) -> None:
    from html import unescape

    _, model, _ = fitted
    scores = model.scores_
    measures = dict.fromkeys(measure for own in scores.values.values() for measure in own)
    assert [measure for measure in measures if not explain(measure)] == []
    page = unescape(render(model.summary_))
    assert all(line in page for _, line in glossary(measures))
    assert page.count('<i class="sign') == sum(len(row) for row in scores.against.values())
    assert "differences from the baselines, with their intervals" in page


def test_a_model_of_a_form_that_is_no_more_is_refused_with_what_to_do(fitted, tmp_path) -> None:
    import shutil

    _, _, folder = fitted
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    content = json.loads((old / "model.json").read_text())
    assert content["body"]["layout"] == 2
    del content["body"]["layout"]
    (old / "model.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError) as caught:
        ostinato.load(old)
    assert "\n" not in str(caught.value)


@ALL
def test_an_estimator_that_is_not_fitted_says_so(kind, tmp_path) -> None:
    model = CASES[kind].make()
    data = CASES[kind].data(False, 0)
    for call in (
        lambda: model.evaluate(data), lambda: model.stream(), lambda: model.save(tmp_path / "m"),
        lambda: model.report(tmp_path / "r.html"), lambda: list(model.answers(data)), lambda: model.update(data),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="is not fitted"):
            call()


# --- a cell of one's own ----------------------------------------------------------------------------------------------


@ALL
@pytest.mark.slow
def test_a_cell_of_ones_own_goes_wherever_the_name_of_one_goes(kind, tmp_path) -> None:
    data = CASES[kind].data(False, 0)
    model = made(kind, cell=plain_gru).fit(data)
    named = made(kind, cell="gru").fit(data)
    # the same numbers as by name: it is the same cell
    assert model.scores_.values == named.scores_.values
    assert model.summary_.settings["cell"] == "plain_gru"
    folder = model.save(tmp_path / "m")
    with pytest.raises(ArtifactError, match="a cell of your own, plain_gru; hand it in"):
        ostinato.load(folder)
    with pytest.raises(ArtifactError, match="the cell plain_gru, not other_cell"):
        ostinato.load(folder, cell=other_cell)
    again = ostinato.load(folder, cell=plain_gru)
    assert evaluated(again, kind).values == evaluated(model, kind).values


@ALL
def test_what_is_no_cell_is_refused_in_a_sentence(kind) -> None:
    data = CASES[kind].data(False, 0)
    with pytest.raises(UsageError, match='cell "gruu" is not known; did you mean "gru"'):
        made(kind, cell="gruu").fit(data)
    with pytest.raises(UsageError, match=r"is made of an input and a hidden size"):
        made(kind, cell=lambda: None).fit(data)
    with pytest.raises(UsageError, match=r"expected a torch.nn.Module"):
        made(kind, cell=lambda a, b: 3).fit(data)


# --- one definition each ----------------------------------------------------------------------------------------------


def test_calibration_has_one_definition() -> None:
    """Bins of (0, 0.1], (0.1, 0.2], ...: C. Guo et al., 2017; .5 and .55 lie in two of them."""
    from ostinato.tasks.base.classes import calibration_error

    assert calibration_error(np.array([0.5, 0.55]), np.array([0, 1])) == pytest.approx(0.475)
    assert calibration_error(np.array([0.55, 0.6]), np.array([0, 1])) == pytest.approx(abs(0.5 - 0.575))


# --- the package ------------------------------------------------------------------------------------------------------


def test_the_package_shows_what_it_has_and_nothing_else() -> None:
    assert dir(ostinato) == sorted((*ostinato.__all__, "__version__"))
    assert ostinato.errors.OstinatoError is OstinatoError
    for name in ostinato.__all__:
        assert getattr(ostinato, name) is not None


def test_no_verb_report_or_study_asks_which_task_it_has() -> None:
    import ast
    from pathlib import Path

    home = Path(ostinato.__file__).parent
    names = {home_.estimator_class().__name__ for home_ in TASKS.values()}
    for path in (file for room in ("cli", "report", "studies") for file in (home / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                used = {own.id for own in ast.walk(node) if isinstance(own, ast.Name)}
                assert not used & names, path


@ALL
def test_fit_of_the_command_line_lists_the_task(kind, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["fit", TASKS[kind].name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert TASKS[kind].about.description.split(",")[0] in said
    assert "--weight-decay" in said
