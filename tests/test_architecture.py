"""Imports run downwards only, and what the Snakefile parses stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = [
    "errors", "fileio", "tensors", "slurm", "cli", "config", "digest", "paper", "sources", "text", "video", "shards",
    "models", "objectives", "engine", "evaluate", "pretrain", "finetune", "profiling", "tables", "check", "plan",
    "report", "search", "commands", "__main__", "snakemake_cli",
]  # fmt: skip
MODULES = sorted((ROOT / "cpd").rglob("*.py"))


def layer(module: str) -> int:
    return ORDER.index(module.split(".")[1])


def imports(path: Path) -> set[str]:
    """Every cpd module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "cpd" else {node.module}
    return {name for name in found if name.startswith("cpd.")}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != ROOT / "cpd" or p.stem != "__init__"], ids=name_of)
def test_imports_run_downwards(path: Path) -> None:
    own = layer(name_of(path))
    upwards = [name for name in imports(path) if layer(name) > own]
    assert not upwards, f"{name_of(path)} imports {upwards}, which stand above it"


def test_engine_and_objectives_stand_alone() -> None:
    for folder, forbidden in (("engine", ("models", "objectives")), ("objectives", ("models", "engine"))):
        for path in (ROOT / "cpd" / folder).glob("*.py"):
            assert not [name for name in imports(path) if name.split(".")[1] in forbidden], path


@pytest.mark.parametrize(
    "module",
    [
        "cpd.config",
        "cpd.paper",
        "cpd.tables",
        "cpd.text.clean",
        "cpd.sources.plan",
        "cpd.plan.given",
        "cpd.digest",
        "cpd.cli",
    ],
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    heavy = "{'torch', 'stanza', 'transformers', 'av', 'cv2'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("module", ["cpd.config", "cpd.tables", "cpd.sources.plan", "cpd.digest", "cpd.plan.given"])
def test_what_the_snakefile_imports_has_no_pandas(module: str) -> None:
    code = f"import sys, {module}; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


DANGEROUS = {"eval", "exec"}
DANGEROUS_ATTRIBUTES = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("os", "system"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_dangerous_calls(path: Path) -> None:
    """Fault 90: trust_remote_code, pickles, shells, eval and unchecked tar extraction are absent."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        assert not (isinstance(function, ast.Name) and function.id in DANGEROUS), f"{path}:{node.lineno}"
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            assert (function.value.id, function.attr) not in DANGEROUS_ATTRIBUTES, f"{path}:{node.lineno}"
        assert keywords.get("shell") is not True, f"{path}:{node.lineno}"
        assert keywords.get("trust_remote_code") is not True, f"{path}:{node.lineno}"
        assert keywords.get("allow_pickle") is not True, f"{path}:{node.lineno}"
        if isinstance(function, ast.Attribute) and function.attr == "extractall":  # fault 89
            assert keywords.get("filter") == "data", f"{path}:{node.lineno}"
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "load"
            and getattr(function.value, "id", "") == "torch"
        ):
            assert keywords.get("weights_only") is True, f"{path}:{node.lineno}"
