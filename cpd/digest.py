"""A digest of the code behind a stage: what it computes changes it; comments, docstrings and layout do not.

Nothing is imported or run: modules are found by file and read with `ast`. What was read is kept beside Python's own
compiled files, by the content that it was read from, since the Snakefile asks for it in every job. Left out are
`cpd.config` (a rule's params hold its values), `cpd.errors` and `cpd.cli` (words for people): a new key or a new verb
re-runs nothing.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import hashlib
import sys
from functools import cache
from pathlib import Path

import msgspec

from cpd.errors import CpdError
from cpd.fileio import write_bytes

PACKAGE = Path(__file__).parent
LEFT_OUT = {"cpd.config", "cpd.errors", "cpd.cli"}


def code_digest(*modules: str, package: Path = PACKAGE) -> str:
    """Digest of modules and of every module of ours that they import, also inside functions.

    Args:
        modules: dotted names, as "cpd.pretrain"; a package stands for all that is in it.
        package: folder of `cpd`.

    Raises:
        CpdError: a module, or one that is imported, has no file, or is not Python.
    """
    digest = hashlib.sha256()
    for name in sorted(reach(*modules, package=package)):
        digest.update(f"{name}\n{_source(_file(name, package)).text}\n".encode())
    return digest.hexdigest()


def reach(*modules: str, package: Path = PACKAGE) -> set[str]:
    """Names of the modules that a digest covers."""
    waiting = [name for module in modules for name in _members(module, package)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or not LEFT_OUT.isdisjoint(_with_parents(name)):
            continue
        seen.add(name)
        waiting += _imports(_file(name, package), package)
    return seen


def _members(module: str, package: Path) -> list[str]:
    """A module alone, or a package with everything in it."""
    path = _file(module, package)
    if path.name != "__init__.py":
        return [module]
    inside = [p.relative_to(package.parent).with_suffix("").parts for p in path.parent.rglob("*.py")]
    return [".".join(parts).removesuffix(".__init__") for parts in inside]


def _file(module: str, package: Path) -> Path:
    path = _find(module, package)
    if path is None:
        raise CpdError(
            f"there is no module {module!r} in {package.parent}", hint="mend the import, or the rule's code="
        )
    return path


@cache
def _find(module: str, package: Path) -> Path | None:
    base = package.parent.joinpath(*module.split("."))
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


class Source(msgspec.Struct, frozen=True):
    """What a file is to a digest.

    Attributes:
        text: its source without comments, docstrings and layout.
        imports: (module, name) of every import that runs; the name is "" for `import module`.
    """

    text: str
    imports: tuple[tuple[str, str], ...]


class Sources:
    """Files as they were read, by the digest of their bytes; kept from one process to the next.

    Args:
        path: where they are kept. A folder that cannot be written keeps nothing: they are read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Source] | None = None
        self._used: set[str] = set()

    def read(self, path: Path) -> Source:
        """One file.

        Raises:
            CpdError: it is not Python.
        """
        if self._known is None:
            self._known = self._load()
            atexit.register(self._save, len(self._known))
        data = path.read_bytes()
        key = hashlib.sha256(data).hexdigest()
        self._used.add(key)
        if key not in self._known:
            self._known[key] = _read(data, path)
        return self._known[key]

    def _load(self) -> dict[str, Source]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, Source])
        except (OSError, msgspec.DecodeError):  # none yet, or torn: it only saves time
            return {}

    def _save(self, before: int) -> None:
        """What other versions of the files gave stays for a while: branches are switched back and forth."""
        assert self._known is not None
        if len(self._known) == before:
            return
        kept = self._known if len(self._known) <= MOST_KEPT else {key: self._known[key] for key in self._used}
        with contextlib.suppress(OSError):
            write_bytes(self.path, msgspec.json.encode(kept))


SOURCES = Sources(PACKAGE / "__pycache__" / f"sources-{sys.implementation.cache_tag}.json")
MOST_KEPT = 1000


def _read(data: bytes, path: Path) -> Source:
    try:
        tree = ast.parse(data.decode())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CpdError(f"{path}: not Python: {error}") from None
    return Source(imports=_import_names(tree), text=_normal_text(tree))


def _import_names(tree: ast.Module) -> tuple[tuple[str, str], ...]:
    names: set[tuple[str, str]] = set()
    for node in _nodes_that_run(tree):
        if isinstance(node, ast.Import):
            names |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {(node.module, alias.name) for alias in node.names}
    return tuple(sorted(names))


@cache
def _source(path: Path) -> Source:
    return SOURCES.read(path)


@cache
def _imports(path: Path, package: Path) -> tuple[str, ...]:
    """Our modules that a file imports when it runs, and the packages around them."""
    ours = [pair for pair in _source(path).imports if pair[0].split(".")[0] == package.name]
    names = {_module_of(module, name, package) if name else module for module, name in ours}
    return tuple(sorted({around for name in names for around in _with_parents(name)}))


def _nodes_that_run(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`."""
    waiting, nodes = [tree], []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return nodes


def _module_of(module: str, name: str, package: Path) -> str:
    """`from module import name`: the submodule `name` if there is one, else the module."""
    return f"{module}.{name}" if _find(f"{module}.{name}", package) else module


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _normal_text(tree: ast.Module) -> str:
    """The source without comments, docstrings and layout; changes the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _without_docstring(node.body)
    return ast.unparse(tree)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body
