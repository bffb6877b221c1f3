"""What the code of a cell reads: attribute names, globals and variables of enclosing functions, found in its bytecode.

A plan may be used again only while everything that its trace read is as it was. Which attributes of an object can be
read is known from the names in the code that can run; what is read through a name of a module or of an enclosing
function is followed, hop by hop, to the value that stands there.
"""

from __future__ import annotations

import builtins
import datetime
import dis
import operator
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from ostinato.engine.plan.graph import Unsupported

_HEAP_TYPE = 1 << 9
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "nothing"})()

_IMPURE = frozenset(
    """
    random time secrets uuid os posix nt sys io _io socket threading _thread multiprocessing asyncio contextvars
    _contextvars _random tempfile subprocess signal gc select queue _queue logging pdb inspect platform getpass
    shutil glob sqlite3 urllib http ctypes _ctypes pickle _pickle shelve importlib weakref _weakref atexit
    faulthandler resource sched concurrent
    """.split()  # noqa: SIM905 - a list of words
)
"""Modules whose functions do not follow from their arguments, or do more than return something."""
_IMPURE_BUILTINS = frozenset(
    """
    print open input breakpoint id hash eval exec globals locals __import__
    """.split()  # noqa: SIM905 - a list of words
)
_IMPURE_TORCH = frozenset(
    """
    seed initial_seed manual_seed get_rng_state set_rng_state fork_rng default_generator Generator load save
    get_num_threads set_num_threads are_deterministic_algorithms_enabled get_float32_matmul_precision
    is_anomaly_enabled is_inference_mode_enabled set_default_dtype set_printoptions
    """.split()  # noqa: SIM905 - a list of words
)
IMPURE_METHODS = frozenset(["now", "utcnow", "today"])
"""Of dates: what a calendar says now."""
_OF_TENSORS = frozenset(
    [
        "requires_grad",
        "grad_fn",
        "is_leaf",
        "_version",
        "data_ptr",
        "register_hook",
        "untyped_storage",
        "retain_grad",
        "storage_offset",
        "is_contiguous",
        "__bases__",
        "__subclasses__",
        "__mro__",
    ]
)
"""What an attribute of a traced tensor says of the trace and not of the step, or of a class that is not watched."""
_DYNAMIC = frozenset(["getattr", "hasattr", "vars", "dir", "setattr", "delattr", "attrgetter", "methodcaller"])
_READERS = (
    getattr,
    hasattr,
    vars,
    dir,
    setattr,
    delattr,
    operator.attrgetter,
    operator.methodcaller,
)
_OF_SIZES = frozenset(
    """
    squeeze shape size numel nelement len __len__ __iter__ ndim nbytes stride broadcast_shapes
    """.split()  # noqa: SIM905 - a list of words
)


@dataclass(frozen=True)
class Facts:
    """What stands in one function's bytecode, functions within it included."""

    names: frozenset[str]
    """Attributes that are read or set."""
    chains: frozenset[tuple[str, ...]]
    """Names of globals and of enclosing functions' variables, each with the attributes read from it directly."""
    imports: frozenset[str]
    sets_globals: tuple[str, ...]


_facts: WeakKeyDictionary[CodeType, Facts] = WeakKeyDictionary()


def facts_of(code: CodeType) -> Facts:
    """Return what a function's code reads."""
    known = _facts.get(code)
    if known is None:
        known = _facts[code] = _read(code)
    return known


def _read(code: CodeType) -> Facts:
    names: set[str] = set()
    chains: set[tuple[str, ...]] = set()
    imports: set[str] = set()
    stores: list[str] = []
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        op, value = instruction.opname, instruction.argval
        if op in ("CACHE", "EXTENDED_ARG", "PUSH_NULL"):
            continue
        if op in ("LOAD_ATTR", "LOAD_METHOD"):
            names.add(value)
            if chain:
                chain = (*chain, value)
                continue
        elif op.startswith(("LOAD_SUPER", "STORE_ATTR", "DELETE_ATTR")):
            names.add(value)
        if chain:
            chains.add(chain)
            chain = ()
        if op in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS",
                  "LOAD_FROM_DICT_OR_DEREF"):  # fmt: skip
            chain = (value,)
        elif op == "IMPORT_NAME":
            imports.add(value)
        elif op == "IMPORT_FROM":
            names.add(value)
        elif op in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            stores.append(value)
        elif op == "MATCH_CLASS":
            names.add("__dict__")  # a pattern reads attributes that are not named here
        elif op.startswith("FORMAT_"):
            names.add("__format__")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found = facts_of(inner)
            names |= found.names
            chains |= found.chains
            imports |= found.imports
            stores += found.sets_globals
    return Facts(frozenset(names), frozenset(chains), frozenset(imports), tuple(stores))


class Variables(Mapping[str, Any]):
    """The variables of enclosing functions that a function reads, as a table."""

    def __init__(self, function: FunctionType) -> None:
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def __getitem__(self, name: str) -> Any:
        try:
            return self._cells[name].cell_contents
        except ValueError:  # not set yet
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def restore(self, name: str, value: Any) -> None:
        """Set a variable."""
        self._cells[name].cell_contents = value


@dataclass(frozen=True)
class Place:
    """A name in a table: of a module, of a class, of an enclosing function."""

    table: Mapping[str, Any]
    name: str
    label: str

    def value(self) -> Any:
        """Return what stands there now."""
        return self.table.get(self.name, MISSING)


def places_of(function: FunctionType) -> list[Place]:
    """Return the places that a function reads through names, the ends of chains last.

    Raises:
        Unsupported: the function sets a global, or reads what cannot be watched.
    """
    facts = facts_of(function.__code__)
    where = f"{function.__qualname__}"
    if facts.sets_globals:
        raise Unsupported(f"{where}, which sets the global variable {facts.sets_globals[0]}")
    variables = Variables(function)
    found: list[Place] = []
    for chain in sorted(facts.chains):
        table = _table_of(chain[0], function, variables)
        if table is not None:
            found += _followed(table, chain)
    for name in sorted(facts.imports):
        module = sys.modules.get(name)
        if module is None or is_impure_module(module.__name__):
            raise Unsupported(f"{name}, which {where} imports at every step")
        found.append(Place(sys.modules, name, name))
    return found


def _table_of(name: str, function: FunctionType, variables: Variables) -> Mapping[str, Any] | None:
    for table in (variables, function.__globals__, vars(builtins)):
        if name in table:
            return table
    return None  # a local variable of a function around a nested one


def _followed(table: Mapping[str, Any], chain: tuple[str, ...]) -> list[Place]:
    """Return the places along a chain, as far as it leads through modules."""
    places: list[Place] = []
    for index, name in enumerate(chain):
        label = ".".join(chain[: index + 1])
        place = Place(table, name, label)
        places.append(place)
        value = place.value()
        refuse_impure(value, label)
        if value is MISSING and index and "__getattr__" in table and not is_trusted(str(table.get("__name__")), _NONE):
            raise Unsupported(f"{label}, which a module makes whenever it is asked")
        if value is MISSING and index and _makes_attributes(table, chain[:index]):
            raise Unsupported(f"{label}, which says how PyTorch is set now")
        if not isinstance(value, ModuleType):
            if index + 1 < len(chain) and chain[index + 1] in IMPURE_METHODS:
                raise Unsupported(f"{'.'.join(chain[: index + 2])}, which gives another value at every step")
            break
        table = vars(value)
    return places


def _makes_attributes(table: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Tell whether a module's attributes are not in its table, as the flags of `torch.backends` are not."""
    module = sys.modules.get(str(table.get("__name__")))
    return module is not None and type(module) is not ModuleType and "ops" not in path


def home(value: Any) -> str:
    """Return the name of the module that a function or class comes from."""
    module = getattr(value, "__module__", None)
    if module == "builtins" and (isinstance(value, FunctionType) or (isinstance(value, type) and _is_made(value))):
        return "?"  # made by `exec` where there is no module: Python's own functions are not written in Python
    if module is None:
        holder = getattr(value, "__self__", None)
        module = holder.__name__ if isinstance(holder, ModuleType) else type(holder).__module__
    return str(module)


def _is_made(kind: type) -> bool:
    """Tell whether a class was made by a class statement, or like one, and not by Python itself."""
    return bool(kind.__flags__ & _HEAP_TYPE)


def is_impure_module(name: str) -> bool:
    """Tell whether what a module does is more than a function of arguments."""
    return name.partition(".")[0] in _IMPURE or name.startswith(("numpy.random", "torch.random", "torch.cuda"))


def refuse_impure(value: Any, label: str) -> None:
    """Refuse what gives another result each time it is asked, or does more than return one."""
    if isinstance(value, ModuleType):
        if is_impure_module(value.__name__):
            raise Unsupported(f"{label}, whose values are not those of another step")
        return
    if not callable(value) or isinstance(value, FunctionType):
        if isinstance(value, FunctionType) and is_impure_module(value.__module__ or ""):
            raise Unsupported(f"{label}, which does not follow from its arguments alone")
        return
    module, name = home(value), getattr(value, "__name__", "")
    if (
        (name in IMPURE_METHODS and getattr(value, "__self__", None) in (datetime.datetime, datetime.date))
        or (module.startswith("numpy") and name == "geterr")
        or is_impure_module(module)
        or (module == "builtins" and name in _IMPURE_BUILTINS and getattr(builtins, name, None) is value)
        or (module.startswith("torch") and name in _IMPURE_TORCH)
    ):
        raise Unsupported(f"{label}, which does not follow from its arguments alone")


_TRUSTED = frozenset(
    """
    builtins torch numpy math cmath operator _operator functools _functools itertools collections _collections
    _collections_abc typing typing_extensions types abc _abc enum dataclasses copy copyreg numbers string re
    contextlib warnings fractions decimal _decimal bisect heapq scipy
    """.split()  # noqa: SIM905 - a list of words
)


def is_dynamic(value: Any) -> bool:
    """Tell whether a function reads attributes under names that it is given, by whatever name it goes."""
    return any(value is each for each in _READERS)


def is_trusted(module: str, own: frozenset[str]) -> bool:
    """Tell whether a module's code need not be looked at: PyTorch, NumPy, the standard library, other libraries.

    Args:
        module: its name.
        own: packages of which the cell's code is a part; these are always looked at.
    """
    root = module.partition(".")[0]
    if root in _TRUSTED or module.startswith(("ostinato.engine", "ostinato.errors")):
        return True
    if root in own or root == "ostinato":
        return False
    return root in sys.stdlib_module_names or is_installed(module)


_NONE: frozenset[str] = frozenset()


def is_library_code(function: FunctionType, own: frozenset[str]) -> bool:
    """Tell whether a function is a library's wrapper around the user's: a decorator's, that goes by another name."""
    return is_trusted(str(function.__globals__.get("__name__")), own)


def variables_of(function: FunctionType) -> list[Place]:
    """Return the places of what a function reads of enclosing functions."""
    table = Variables(function)
    return [Place(table, name, name) for name in table]


def is_installed(module: str) -> bool:
    """Tell whether a module is that of an installed library."""
    known = sys.modules.get(module)
    file = str(vars(known).get("__file__")) if isinstance(known, ModuleType) else ""
    return "site-packages" in file or "dist-packages" in file


def is_known_pure(module: str) -> bool:
    """Tell whether a trusted module is known to keep nothing from call to call."""
    return module.partition(".")[0] in _TRUSTED or module.startswith("ostinato.")


def reads_anything(facts: Facts) -> bool:
    """Tell whether attributes are read under names that only running the code would show."""
    return bool(facts.names & {"__dict__", "__getattribute__", "attrgetter", "methodcaller"}) or any(
        chain[-1] in _DYNAMIC for chain in facts.chains
    )


def shows_objects(facts: Facts) -> bool:
    """Tell whether objects are made texts, which reads attributes that the code does not name.

    Mostly it is the text of an error. So what can be watched of them counts, and what cannot is no reason to refuse.
    """
    return "__format__" in facts.names or any(chain[-1] in ("str", "repr", "format") for chain in facts.chains)


def reads_sizes(facts: Facts) -> bool:
    """Tell whether the code may use the number of rows of the batch as a number."""
    return bool(facts.names & _OF_SIZES) or any(chain[-1] in _OF_SIZES for chain in facts.chains)


def refuse_reads_of_the_trace(facts: Facts, where: str) -> None:
    """Refuse code that asks a tensor what only holds while it is traced."""
    found = sorted(facts.names & _OF_TENSORS)
    if found:
        raise Unsupported(f"{where}, which reads {found[0]} of a tensor at every step")
