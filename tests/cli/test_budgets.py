"""What the command line says of time: how long a fit takes, where its seconds went, what one that was killed leaves."""

import json

import numpy as np
import pytest

from ostinato.cli import main
from ostinato.cli.notes import expectation_on_stderr
from ostinato.cli.saving import resume_hint
from ostinato.tasks.forecast.task import ForecastTask
from ostinato.training import Expected
from ostinato.training.listeners import tell_expected


def test_how_long_a_fit_takes_is_one_line_on_stderr_unless_it_is_short(capsys) -> None:
    with expectation_on_stderr():
        tell_expected(Expected(600.0, 20, 30.0, 5, None))
        tell_expected(Expected(3.0, 20, 0.15, 5, None))
    tell_expected(Expected(700.0, 20, 35.0, 5, None))
    said = capsys.readouterr()
    assert said.err == (
        "ostinato: training takes about 10 min: 20 epochs of 30 s; it ends before that if the loss is no better for 5 "
        "epochs\n"
    )
    assert said.out == ""


@pytest.fixture
def fit(tmp_path):
    values = np.round(50 + 10 * np.sin(np.arange(300) * np.pi / 12), 3)
    (tmp_path / "load.csv").write_text("\n".join(["load", *map(str, values)]) + "\n")
    options = ["--context", "24", "--segment", "6", "--hidden-size", "4", "--epochs", "1", "--no-report"]
    return ["fit", "forecast", str(tmp_path / "load.csv"), "--horizon", "6", "--out", str(tmp_path / "out"), *options]


@pytest.mark.slow
@pytest.mark.ci
def test_a_fit_that_is_killed_while_its_baselines_are_fitted_leaves_a_model_that_says_so(
    fit, tmp_path, monkeypatch, capsys
) -> None:
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ForecastTask, "baselines", killed)
        assert main(fit) == 130
    assert "not yet compared: the same command with --resume compares it" in capsys.readouterr().err
    out, file = str(tmp_path / "out"), fit[2]
    assert main(["predict", out]) == 0
    capsys.readouterr()
    assert main(["evaluate", out, file]) == 0
    assert "no baselines stand beside it" in capsys.readouterr().out
    assert main([*fit, "--resume", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["scores"]) > 1
    assert set(found["seconds"]) == {"reading", "training", "calibration", "baselines", "judging"}
    assert main(["evaluate", out, file]) == 0
    assert "no baselines" not in capsys.readouterr().out
    assert "compared" not in resume_hint(tmp_path / "out")()
