"""What tasks show of themselves runs from beginning to end."""

import shutil

import pytest

from ostinato.cli.demos import demonstrations
from ostinato.cli.main import main


def _shown(name, folder, capsys) -> str:
    assert main(["demo", name, "--out", str(folder)]) == 0
    assert (folder / "model.json").exists() or list(folder.glob("*/model.json"))
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.ci
def test_the_demo_of_anomalies_finds_what_was_planted(tmp_path, capsys) -> None:
    said = _shown("anomaly", tmp_path / "out", capsys)
    assert "4 of 4 faults found" in said
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in demonstrations() if name != "anomaly"])
def test_every_other_demo_runs(name, tmp_path, capsys) -> None:
    if name == "speech" and shutil.which("espeak-ng") is None:
        pytest.skip("its voices are those of espeak-ng, which is not installed")
    assert str(tmp_path / "out") in _shown(name, tmp_path / "out", capsys)  # where to look
