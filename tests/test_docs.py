"""The code of the README and of the guide runs as it stands there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guide").glob("*.md"))]


def run_code(page: Path) -> dict[str, object]:
    """Run a page's code in the current folder, and return its variables."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert blocks
    scope: dict[str, object] = {"__name__": page.stem}
    for block in blocks:
        exec(compile(block, str(page), "exec"), scope)
    return scope


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_code(page)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_installation_of_the_readme_brings_what_its_first_screen_uses() -> None:
    """Each extra that a command of the first screen can ask for is among those that the README installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def closure(name: str) -> set[str]:
        own = {re.split(r"[>=<\[ ]", one)[0] for one in extras[name] if not one.startswith("ostinato[")}
        inner = [one for line in extras[name] for one in re.findall(r"ostinato\[(.*)\]", line)]
        return own.union(*(closure(extra) for line in inner for extra in line.split(",")))

    readme = (ROOT / "README.md").read_text()
    installed = re.search(r'pip install -c constraints.txt "\.\[(.*)\]"', readme)
    assert installed is not None
    brought = set().union(*(closure(extra) for extra in installed.group(1).split(",")))
    first = readme[: readme.index("## What it does")]
    needs = {
        "fit": {"matplotlib", "jinja2"},
        "report": {"matplotlib", "jinja2"},
        "compare": {"matplotlib", "jinja2"},
        "fit translation": {"tokenizers", "sacrebleu"},
        "classification": {"scikit-learn"},
        "tune": {"optuna"},
    }
    for command, packages in needs.items():
        if re.search(rf"ostinato .*\b{command}\b", first):
            assert packages <= brought, command


def test_the_code_of_the_readme_runs_and_its_model_wins_with_an_interval_that_holds(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = run_code(PAGES[0])["model"].scores_  # type: ignore[attr-defined]
    best = min(own["MASE"] for name, own in scores.values.items() if name != "model")
    assert scores["MASE"] < 0.8 * best
    assert abs(scores["coverage 80 %"] - 80) <= 6
