"""How a file is read, said on the command line: marks, delimiters, missing cells, sheets."""

import json
import sys

import pytest

from ostinato.cli import main

ROWS = [f"2024-{month:02d}-{day:02d};{1000 + day}.{month}" for month in range(1, 5) for day in range(1, 29)]
FEW = [
    "--horizon",
    "3",
    "--epochs",
    "1",
    "--hidden-size",
    "4",
    "--context",
    "8",
    "--segment",
    "1",
    "--frequency",
    "rows",
]


@pytest.fixture
def german(tmp_path):
    path = tmp_path / "last.csv"
    cells = [(number, step) for number in range(20) for step in range(6)]
    lines = [f"{i};{t};{'?!' if t == 2 else t * (1 + i % 2)},5;{i % 2}" for i, t in cells]
    (tmp_path / "s.csv").write_text("id;t;x;label\n" + "\n".join(lines))
    options = ["--epochs", "1", "--hidden-size", "4", "--no-report", "--no-progress", "--test", "0"]
    command = ["fit", "sequences", str(tmp_path / "s.csv"), "--time", "t", "--out", str(tmp_path / "m"), *options]
    assert main(command) == 3
    assert '"?!,5" in column "x" is not a number' in capsys.readouterr().err
    (tmp_path / "s.csv").write_text((tmp_path / "s.csv").read_text().replace("?!,5", "?!"))
    assert main([*command, "--missing", "?!", "--delimiter", ";"]) == 0
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "s.csv")]) == 0
    events = "".join(f"{case};{name}\n" for case in range(30) for name in "abc")
    (tmp_path / "e.csv").write_text("case;activity\n" + events)
    assert main(["fit", "events", str(tmp_path / "e.csv"), "--time", "none", "--delimiter", ";", "--out", str(tmp_path / "e"),
                 "--epochs", "1", "--hidden-size", "4", "--no-report", "--no-progress"]) == 0  # fmt: skip
