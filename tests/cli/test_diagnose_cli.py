"""`ostinato diagnose`: fitted models of several tasks by the base alone, in the unit of their data."""

import json
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.cli import main


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("diagnose")
    hours = np.datetime64("2024-01-01T00:00") + np.arange(300) * np.timedelta64(15, "m")
    values = np.sin(np.arange(300) / 8) + 0.1 * np.random.default_rng(0).standard_normal(300)
    data = folder / "load.csv"
    data.write_text("time,load\n" + "\n".join(f"{time},{value:.4f}" for time, value in zip(hours, values, strict=True)))
    model = ostinato.Forecaster(
        target="load", horizon=4, context=16, segment=1, hidden_size=4, epochs=1, combine=False, progress=False
    )
    model.fit(data).save(folder / "model")
    return folder / "model", data


@pytest.mark.slow
@pytest.mark.ci
def test_a_forecaster_is_diagnosed_in_hours_with_a_page_and_its_numbers(forecaster, capsys) -> None:
    model, data = forecaster
    before = (model / "model.json").read_bytes()
    assert main(["diagnose", str(model), str(data)]) == 0
    out = capsys.readouterr().out
    assert "Diagnosis of forecaster" in out
    assert "effective memory" in out
    assert "about" in out  # 15 minutes a step
    assert (model / "diagnosis.html").stat().st_size < 2_000_000
    numbers = json.loads((model / "diagnosis.json").read_text())["numbers"]
    assert numbers["step"]["seconds"] == 900
    assert numbers["rates"]["asked"] is not None
    assert numbers["history"]
    assert (model / "model.json").read_bytes() == before


def test_json_goes_to_the_console_and_out_says_where_the_page_goes(forecaster, capsys, tmp_path) -> None:
    model, data = forecaster
    assert (
        main(
            [
                "diagnose",
                str(model),
                str(data),
                "--json",
                "--out",
                str(tmp_path / "why.html"),
                "--row",
                "2",
                "--max-seconds",
                "3",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["title"].startswith("forecaster")
    assert {each.name for each in tmp_path.iterdir()} == {"why.html", "why.json"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["{model}", "{tmp}/nothing.csv"], 3, "nothing.csv"),
        (["{tmp}/no", "{data}"], 5, "does not exist"),
        (["{model}", "{data}", "--out", "{tmp}/why.json"], 2, "ends in .html"),
        (["{model}", "{data}", "--max-seconds", "0"], 2, "max_seconds"),
        (["{model}", "{data}", "--row", "-1"], 2, "row"),
        (["{model}", "{data}", "{data}"], 2, "files"),
    ],
)
def test_mistakes_end_in_one_sentence(forecaster, capsys, tmp_path, arguments, code, said) -> None:
    model, data = forecaster
    given = [each.format(model=model, data=data, tmp=tmp_path) for each in arguments]
    assert main(["diagnose", *given]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
