"""What the pages say is so: their code runs as it stands there, links lead somewhere, and every page is in a list."""

import ast
import doctest
import importlib.util
import os
import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from whole_html import checked

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = {"api", "results", "jupyter_execute"}  # written by the build
GUIDES = sorted((DOCS / "guide").glob("[0-9]*.md"))
OTHERS = [DOCS / name for name in ("index.md", "start.md", "engine.md")]
PEERS = [page for page in sorted((DOCS / "coming-from").glob("*.md")) if page.stem != "index"]
NOTEBOOKS = sorted((DOCS / "gallery").glob("[0-9]*.md"))
README = ROOT / "README.md"
SITE = [page for page in sorted(DOCS.rglob("*.md")) if page.relative_to(DOCS).parts[0] not in MADE]
BLOCK = re.compile(
    r"^(?:<!-- needs: ([^\n]*) -->\n)?```(?:python|\{code-cell\} ipython3)\n(.*?)^```", re.DOTALL | re.MULTILINE
)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return a page's blocks of code, each with the modules that it needs."""
    found = BLOCK.findall(page.read_text())
    assert found or page.stem == "index", page
    return found


def run_code(page: Path) -> dict[str, object]:
    """Run a page's code in the current folder, and return its variables; what needs another library, if it is there."""
    scope: dict[str, object] = {"__name__": page.stem}
    for needs, block in blocks_of(page):
        if all(is_there(name) for name in needs.split(", ") if name):
            exec(compile(block, str(page), "exec"), scope)
    return scope


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", [*GUIDES, *OTHERS, *PEERS], ids=lambda page: page.stem)
@pytest.mark.slow
@pytest.mark.ci
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_code(page)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebook_runs_and_what_stands_last_in_a_cell_shows_itself(page, tmp_path, monkeypatch) -> None:
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": page.stem}
    for _, block in blocks_of(page):
        *before, last = ast.parse(block).body
        exec(compile(ast.Module(before, []), str(page), "exec"), scope)
        if not isinstance(last, ast.Expr):
            exec(compile(ast.Module([last], []), str(page), "exec"), scope)
            continue
        shown = eval(compile(ast.Expression(last.value), str(page), "eval"), scope)
        if hasattr(shown, "_repr_png_"):
            assert shown._repr_png_().startswith(b"\x89PNG")
        elif type(shown).__module__.startswith("ostinato") and hasattr(shown, "_repr_html_"):
            checked(shown._repr_html_())


def test_there_are_ten_notebooks_or_more_with_the_head_that_makes_them_so() -> None:
    assert len(NOTEBOOKS) >= 10
    for page in NOTEBOOKS:
        assert page.read_text().startswith("---\njupytext:\n"), page
        assert "```python" not in page.read_text(), page


# --- links and lists, without building the site -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def site():
    """What makes the site: links out of `docs/` have pages there, and the reference is made of the package."""
    sys.path.insert(0, str(DOCS))
    try:
        return load("reference"), load("docstrings"), load("pictures"), load("conf")
    finally:
        sys.path.remove(str(DOCS))


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def without_blocks(page: Path) -> str:
    return re.sub(r"^(`{3,}).*?^\1", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> set[str]:
    """Return what can be linked to on a page, as GitHub and MyST call it."""
    said = re.findall(r"^#+ (.*)$", without_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in said}


@pytest.mark.parametrize(
    "page", [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *SITE], ids=lambda page: page.stem
)
def test_links_lead_to_pages_and_headings_that_are_there(page) -> None:
    text = re.sub(r"`[^`\n]+`", "", without_blocks(page))
    for target, part in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if target.startswith(("http", "mailto:")) or target.split("/")[0] == "api":
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target}"
        assert not part or part in headings(there), f"{page.name}: {target}#{part}"


def listed(page: Path) -> set[Path]:
    """Return the pages of a page's lists, `toctree`."""
    found: set[Path] = set()
    for block in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE):
        for line in (one.strip() for one in block.splitlines()):
            line = re.sub(r".*<(.*)>", r"\1", line)
            if line and not line.startswith(":"):
                matching = {
                    one for one in page.parent.rglob("*.md") if fnmatch(str(one.relative_to(page.parent)), f"{line}.md")
                }
                assert matching or line.split("/")[0] in MADE, f"{page.name}: {line}"
                found |= matching
    return found


def test_every_page_of_the_site_is_in_a_list_and_a_new_guide_is_by_itself() -> None:
    lists = set().union(*(listed(page) for page in SITE))
    assert {page for page in SITE if page != DOCS / "index.md"} <= lists
    assert "[0-9]*" in (DOCS / "guide/index.md").read_text()


def test_every_public_name_is_on_a_page_of_the_reference(site) -> None:
    import ostinato

    reference = site[0]
    pages = reference.pages()
    for package in (
        "",
        ".nn",
        ".cells",
        ".engine",
        ".streaming",
        ".data",
        ".training",
        ".errors",
        ".nn.losses",
        ".tasks.base",
    ):
        assert f"ostinato{package}.md" in pages
    for name in reference.names():
        package, _, last = name.rpartition(".")
        described = rf"\.\. (?:autoclass|autofunction):: {re.escape(name)}\n"
        named = rf"\.\. py:(?:data|class|function):: {last}\n   :module: {re.escape(package)}\n"
        assert len(re.findall(f"{described}|{named}", pages[f"{package}.md"])) == 1, name
    rooms = {room for room in ostinato.__all__ if f"ostinato.{room}.md" in pages}
    assert set(reference.public("ostinato")) | rooms == set(ostinato.__all__)
    assert all(package.replace("ostinato.", "") in pages["index.md"] for package in reference.packages())


def test_docstrings_become_what_sphinx_takes(site) -> None:
    docstrings = site[1]
    for module in (docstrings, site[3]):  # whose examples say how links lead
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed
    given = [
        "One step.",
        "",
        "    h' = z * h",
        "",
        "It is `h`s.",
        "",
        ">>> 2 * 3",
        "6",
        "",
        "Raises:",
        "    ValueError: `a`|b_.",
    ]
    assert list(docstrings.rewritten(given)) == [
        "One step.", "", "::", "", "    h' = z * h", "", r"It is ``h``\ s.", "", ">>> 2 * 3", "6", "", "Raises:",
        r"    ValueError: ``a``\|b\_.",
    ]  # fmt: skip


def test_pictures_are_those_that_their_script_draws(site) -> None:
    for name, draw in site[2].PICTURES.items():
        assert (DOCS / "images" / name).read_text() == draw(), "run: python3 docs/pictures.py"


# --- messages ---------------------------------------------------------------------------------------------------------


def text_of(node: ast.expr) -> str:
    """Return a text as the source has it, with `…` for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


def test_messages_that_are_explained_are_those_of_the_source() -> None:
    quoted = re.findall(r"^### `(.*)`$", (DOCS / "troubleshooting.md").read_text(), flags=re.MULTILINE)
    assert len(quoted) >= 30
    # only files that have the beginning of the longest stretch of one are parsed: it takes a while
    starts = [max(re.split("…+", message), key=len).replace('"', "").strip()[:10] for message in quoted]
    sources = (path.read_text() for path in (ROOT / "src").rglob("*.py"))
    trees = [ast.parse(text) for text in sources if any(start in text for start in starts)]
    known = {
        text_of(node) for tree in trees for node in ast.walk(tree) if isinstance(node, (ast.Constant, ast.JoinedStr))
    }
    for message in quoted:
        pattern = ".*".join(re.escape(part) for part in re.split("…+", message))
        assert any(re.fullmatch(pattern, one, flags=re.DOTALL) for one in known), message


# --- the README -------------------------------------------------------------------------------------------------------


def test_the_readme_is_a_screen_with_a_picture_two_commands_and_ten_lines_of_code() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 70
    assert text.count("![") == 1
    assert len(re.findall(r"^python3 dev\.py", text, flags=re.MULTILINE)) == 2
    ((_, code),) = blocks_of(README)
    assert len([line for line in code.splitlines() if line]) <= 10


def test_figures_of_the_readme_stand_on_the_page_that_says_how_they_were_measured() -> None:
    """Each number of its table is in the page's text."""
    table = README.read_text().split("## Five figures")[1]
    rows = re.findall(r"^\| .* \|$", table, flags=re.MULTILINE)[2:]
    assert len(rows) == 5
    measured = (DOCS / "measured.md").read_text()
    for row in rows:
        figures = re.findall(r"(?<![\w.])\d*\.?\d+(?!\w)", row)
        assert figures
        for figure in figures:
            assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", measured), f"{figure} in {row}"


def test_the_installation_of_the_readme_brings_what_its_first_screen_uses() -> None:
    """Each extra that a command of the first screen can ask for is among those that the README installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def closure(name: str) -> set[str]:
        own = {re.split(r"[>=<\[ ]", one)[0] for one in extras[name] if not one.startswith("ostinato[")}
        inner = [one for line in extras[name] for one in re.findall(r"ostinato\[(.*)\]", line)]
        return own.union(*(closure(extra) for line in inner for extra in line.split(",")))

    first = README.read_text() + (DOCS / "start.md").read_text()
    found = set(re.findall(r'pip install -c constraints.txt "\.\[(.*)\]"', first))
    assert len(found) == 1, "the README and the first page install the same"
    brought = set().union(*(closure(extra) for extra in found.pop().split(",")))
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


def test_every_extra_is_explained_on_the_first_page() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    said = set(re.findall(r"`(\w+)`", (DOCS / "start.md").read_text()))
    assert set(extras) <= said


def test_the_code_of_the_readme_runs_and_its_model_wins_with_an_interval_that_holds(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = run_code(README)["model"].scores_  # type: ignore[attr-defined]
    best = min(own["MASE"] for name, own in scores.values.items() if name != "model")
    assert scores["MASE"] < 0.8 * best
    # of 300 rows whose windows of twelve overlap: some 25 independent forecasts, so that one in twenty runs is 7 off
    assert abs(scores["coverage 80 %"] - 80) <= 7


# --- dev.py docs ------------------------------------------------------------------------------------------------------


def test_docs_builds_with_warnings_as_errors_and_follows_links_elsewhere_only_when_asked(monkeypatch, capsys) -> None:
    sys.path.insert(0, str(ROOT))
    import dev

    sys.path.remove(str(ROOT))
    ran: list[str] = []
    monkeypatch.setattr(dev, "run", lambda *words, **_: ran.append(" ".join(map(str, words))) or 0)
    assert dev.docs([]) == 0
    assert dev.docs(["--external"]) == 0
    assert [("-W" in line, "linkcheck" in line) for line in ran] == [(True, False), (True, False), (True, True)]
    assert dev.docs(["--elsewhere"]) == 1
    assert "--elsewhere" in capsys.readouterr().err
    assert "docs" in dev.EXTRAS["docs"]
    assert os.fspath(dev.SITE).startswith(os.fspath(ROOT))
