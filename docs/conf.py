"""How the site is made of these pages: `python3 dev.py docs`.

Pages of the reference (`api/`) and of the results (`results/`) are written here before the build, from the package and
from `benchmarks/results`; git ignores them. Guides and notebooks are found by their names, so that a new one needs no
entry anywhere.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT / "src")]
# notebooks run in processes and folders of their own, with the package as it is here
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import docstrings  # noqa: E402
import reference  # noqa: E402

import ostinato  # noqa: E402

project = "Ostinato"
author = "the authors of Ostinato"
version = release = ostinato.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "jupyter_execute"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Class attributes", "params_style")]
suppress_warnings = ["ref.python"]  # a bare name in a type, such as `Search`, may be that of several classes
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "Ostinato"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {
    "logo": {"text": "Ostinato"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 10,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "start": [], "cells": [], "engine": [], "measured": [], "troubleshooting": []}
linkcheck_timeout = 20
linkcheck_workers = 4

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def inside(page: str, target: str) -> str:
    """Return where a link of a page leads on the site: files outside of `docs/` have pages of their own there.

    >>> inside("guide/18-speech", "../../benchmarks/results/speech.md")
    '../results/speech.md'
    >>> inside("architecture", "../CONTRIBUTING.md"), inside("cells", "guide/01-first-forecast.md")
    ('contributing.md', 'guide/01-first-forecast.md')
    >>> inside("../CHANGELOG", "benchmarks/results/half.md")
    'results/half.md'
    """
    if "://" in target or target.startswith("mailto:"):
        return target
    home = posixpath.dirname(page)
    whole = posixpath.normpath(posixpath.join("docs", home, target))
    if whole.startswith("docs/"):
        return target
    known = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
    if whole.startswith("benchmarks/results"):
        name = posixpath.relpath(whole, "benchmarks/results")
        there = f"results/{'index.md' if name == '.' else name}"
    elif whole in known:
        there = known[whole]
    else:
        return target  # Sphinx says that it leads nowhere
    # what lies beside `docs` is included by a page at the top of it
    return there if home == ".." else posixpath.relpath(there, home or ".")


def _lead_inside(_app: Any, page: str, content: list[str]) -> None:
    content[0] = _LINK.sub(lambda found: found[1] + inside(page, found[2]) + found[3], content[0])


def _lead_included_inside(app: Any, path: Path, _page: str, content: list[str]) -> None:
    _lead_inside(app, path.with_suffix("").as_posix(), content)


def _write_pages(_app: Any) -> None:
    for name, text in reference.pages().items():
        _write(DOCS / "api" / name, text)
    results = DOCS / "results"
    results.mkdir(exist_ok=True)
    source = ROOT / "benchmarks" / "results"
    for path in sorted(source.glob("*.png")):
        shutil.copyfile(path, results / path.name)
    titles = []
    for path in sorted(source.glob("*.md")):
        _write(results / path.name, _one_title(path.read_text(encoding="utf-8"), path.stem))
        titles.append(path.stem)
    listed = "\n".join(titles)
    _write(results / "index.md", f"# Tables of the benchmarks\n\nAs `python3 dev.py bench NAME` wrote them.\n\n"
           f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n")  # fmt: skip


def _one_title(text: str, name: str) -> str:
    """Return a page of results whose headings go down one level at a time, under its name if it has no title."""
    text = text if text.startswith("#") else f"# {name.replace('-', ' ').capitalize()}\n\n{text}"
    level, lines = 1, []
    for line in text.splitlines():
        found = re.match(r"(#+) (.*)", line)
        if found:
            level = min(len(found[1]), level + 1) if lines else 1
            line = f"{'#' * level} {found[2]}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a page unless it is there already: what did not change is not built again."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _every_name_is_there(_app: Any, environment: Any) -> None:
    """Warn of public names that no page has: a warning is an error in `dev.py docs`."""
    from sphinx.util import logging

    known = environment.get_domain("py").objects
    for name in sorted(set(reference.names()) - set(known)):
        logging.getLogger(__name__).warning("the public name %s is on no page", name)


def setup(app: Any) -> None:
    """Connect what this file does to the build."""
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _lead_inside)
    app.connect("include-read", _lead_included_inside)
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)
    app.connect("env-check-consistency", _every_name_is_there)
