"""The pages of the reference: one for each public package, with every name of its `__all__`."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent / "src"
INTERNAL = ("ostinato.cli.", "ostinato.engine.")
"""What packages that are no interface begin with, `.` behind their names: these are free to change."""
MODULES = ("ostinato.errors", "ostinato.tasks.base.summary", "ostinato.tasks.base.judging")
"""Modules without `__all__` whose own names are public."""
LEFT_OUT = "about, all_missing, cells_beside, epochs, of_events, task, unsized"
"""Of estimators: what is a parameter, which has a table, or is for who writes a task."""
HEAD = """# Reference

Every public name, by the package that it is imported from; names with `_` before them are not public. A command's own
help is `ostinato VERB --help`, and cells are drawn side by side in [the catalogue](../cells.md).

```{toctree}
:maxdepth: 1

"""


def packages() -> list[str]:
    """Return the public packages: those with an `__all__` that are not internal, the package itself first."""
    files = [path for path in SOURCE.glob("ostinato/**/__init__.py") if "__all__" in path.read_text(encoding="utf-8")]
    found = {".".join(path.parent.relative_to(SOURCE).parts) for path in files}
    return [*sorted(name for name in found if not _is_internal(name)), *MODULES]


def _is_internal(package: str) -> bool:
    return any(f"{package}.".startswith(prefix) and package != "ostinato.engine" for prefix in INTERNAL)


def public(package: str) -> list[str]:
    """Return the public names of a package, without packages, which have pages, and what is another library's."""
    module = importlib.import_module(package)
    listed = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == package
    ]  # fmt: skip
    return sorted((name for name in listed if _is_ours(getattr(module, name))), key=str.lower)


def _is_ours(value: Any) -> bool:
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__module__.startswith("ostinato")
    return not inspect.ismodule(value)


def names() -> list[str]:
    """Return every public name, with the package before it."""
    return [f"{package}.{name}" for package in packages() for name in public(package)]


def pages() -> dict[str, str]:
    """Return the text of each page by its name."""
    every = packages()
    listed = "\n".join(every)
    return {"index.md": f"{HEAD}{listed}\n```\n", **{f"{package}.md": page(package) for package in every}}


@cache
def homes() -> dict[str, str]:
    """Return where each class and function is described: in the package with the shortest name that has it."""
    found: dict[str, str] = {}
    for package in sorted(packages(), key=lambda one: (one.count("."), one)):
        module = importlib.import_module(package)
        for name in public(package):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                found.setdefault(_place(value), package)
    return found


def _place(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def page(package: str) -> str:
    """Return the page of one package."""
    module = importlib.import_module(package)
    known = public(package)
    about = "\n".join(line for line in (inspect.getdoc(module) or "").split("\n\n")[:1])
    rows = "\n".join(f"| {{py:obj}}`{name} <{package}.{name}>` | {_first_line(module, name)} |" for name in known)
    entries = "\n".join(_entry(package, name, getattr(module, name)) for name in known)
    return f"# {package}\n\n{about}\n\n| | |\n| --- | --- |\n{rows}\n\n```{{eval-rst}}\n{entries}\n```\n"


def _first_line(module: Any, name: str) -> str:
    value = getattr(module, name)
    plain = not (inspect.isclass(value) or callable(value))
    said = _said_behind(module, name) if plain else inspect.getdoc(value) or ""
    if inspect.isclass(value) and said.startswith(f"{name}("):
        return ""  # a dataclass without a docstring has its signature for one
    line = said.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return line.split(". ")[0].removesuffix(".").removesuffix(":")


def _entry(package: str, name: str, value: Any) -> str:
    whole = f"{package}.{name}"
    home = homes().get(_place(value), package) if inspect.isclass(value) or inspect.isroutine(value) else package
    if home != package:
        kind = "class" if inspect.isclass(value) else "function"
        same = f"{home}.{value.__name__}"
        return f".. py:{kind}:: {name}\n   :module: {package}\n\n   The same as :py:obj:`{same}`.\n"
    if inspect.isclass(value):
        options = "\n   :members:" + ("\n   :show-inheritance:" if value.__bases__ != (object,) else "")
        options += f"\n   :inherited-members: Module\n   :exclude-members: {LEFT_OUT}" if _is_face(value) else ""
        return f".. autoclass:: {whole}{options}\n"
    if inspect.isroutine(value) or inspect.isfunction(value):
        return f".. autofunction:: {whole}\n"
    said = _said_behind(importlib.import_module(package), name)
    shown = repr(value)
    value_line = f"\n   :value: {shown}" if len(shown) <= 120 and "<" not in shown and "\n" not in shown else ""
    return f".. py:data:: {name}\n   :module: {package}{value_line}\n\n   {_inline(said)}\n"


def _inline(said: str) -> str:
    from docstrings import rewritten

    return " ".join(line.strip() for line in rewritten(said.splitlines()))


def _is_face(value: Any) -> bool:
    """Tell whether a class is an estimator, whose methods are those of its base."""
    from ostinato.tasks.base.estimator import Estimator

    return issubclass(value, Estimator) and value is not Estimator


def _said_behind(module: Any, name: str) -> str:
    """Return the text behind an assignment, as Sphinx has it, in the package or where the name comes from."""
    for where in [module.__name__, *_origins(module, name)]:
        path = importlib.import_module(where).__file__
        body = ast.parse(Path(str(path)).read_text(encoding="utf-8")).body
        for one, behind in itertools.pairwise(body):
            targets = (
                one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
            )
            named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
            if named and isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
                return str(behind.value.value)
    return ""


def _origins(module: Any, name: str) -> list[str]:
    """Return the modules that a package imports a name from."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    return [
        node.module for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names)
    ]  # fmt: skip
