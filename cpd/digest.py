"""A digest of the code behind a stage: what it computes changes it; comments, docstrings and layout do not.

Nothing is imported or run: modules are found by file and read with `ast`, so that the Snakefile can ask for it in
every job. Left out are `cpd.config` (a rule's params hold its values), `cpd.errors` and `cpd.cli` (words for people):
a new key or a new verb re-runs nothing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from cpd.errors import CpdError

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
        digest.update(f"{name}\n{_normal_text(_file(name, package))}\n".encode())
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


@cache
def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CpdError(f"{path}: not Python: {error}") from None


@cache
def _imports(path: Path, package: Path) -> tuple[str, ...]:
    """Our modules that a file imports when it runs, and the packages around them."""
    names: set[str] = set()
    for node in _nodes_that_run(_parse(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {_module_of(node.module, alias.name, package) for alias in node.names}
    ours = [name for name in names if name.split(".")[0] == package.name]
    return tuple(sorted({around for name in ours for around in _with_parents(name)}))


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


@cache
def _normal_text(path: Path) -> str:
    """The source without comments, docstrings and layout."""
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _without_docstring(node.body)
    return ast.unparse(tree)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if text else body
