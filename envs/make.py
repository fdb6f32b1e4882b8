"""Write the environments of `--sdm conda`: python envs/make.py

One file a stage, with every package that the stage's commands import and what those need, at the versions of
requirements.lock. Which rule uses which file, and which command, is read from the rules. `--check` writes nothing and
fails when a file is out of date.
"""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from cpd import digest  # noqa: E402

PYTHON = "3.11"
OPTIONAL = {"tensorboard", "wandb"}  # of train.log; not in the lock
TOP = """# Rules with `conda: "../../envs/{stage}.yaml"`: {rules}.
# Made by envs/make.py from what their commands import and from requirements.lock: change those.
channels: [conda-forge]
dependencies:
  - python={python}
  - pip
  - pip:
"""


def stages() -> dict[str, dict[str, str]]:
    """Of each environment its rules, and the command of each."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for text in re.split(r"(?m)^ *rule\b", path.read_text())[1:]:
            env = re.search(r'"../../envs/(\w+)\.yaml"', text)
            verb = re.search(r"python -m cpd ([\w-]+)", text)
            if env and verb:
                name = re.match(r" (\w+)", text) or re.search(r'f"(\w+)_{', text)
                assert name, f"{path}: a rule without a name"
                found.setdefault(env[1], {})[name[1]] = verb[1]
    return found


def imports(verbs: list[str]) -> set[str]:
    """Top-level modules, not ours and not Python's own, that the commands import when they run."""
    commands = [f"cpd.commands.{verb.replace('-', '_')}" for verb in verbs]
    files = [digest._file(module, digest.PACKAGE) for module in digest.reach(*commands)]
    files += [path for name in digest.LEFT_OUT for path in _files_of(name)]
    nodes = [node for path in files for node in digest._nodes_that_run(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"cpd"} - OPTIONAL


def _files_of(name: str) -> list[Path]:
    path = ROOT / name.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def pins() -> dict[str, str]:
    """Lines of requirements.lock by canonical name."""
    lines = [line.strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
    return {canonicalize_name(line.partition("==")[0]): line for line in lines if "==" in line}


def with_needs(distributions: set[str], locked: dict[str, str]) -> set[str]:
    """Packages and everything that they need, as far as the lock has it on this kind of machine."""
    waiting, seen = list(distributions), set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen or name not in locked:
            continue
        seen.add(name)
        needs = [Requirement(line) for line in metadata.requires(name) or []]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return seen


def text_of(stage: str, rules: dict[str, str]) -> str:
    """The file of a stage."""
    locked, owners = pins(), metadata.packages_distributions()
    wanted: set[str] = set()
    for module in sorted(imports(sorted(set(rules.values())))):
        here = {canonicalize_name(owner) for owner in owners.get(module, [])} & set(locked)
        assert here, f"{stage}: {module} is imported, but nothing in requirements.lock has it"
        wanted |= here
    lines = sorted(locked[name] for name in with_needs(wanted, locked))
    top = TOP.format(stage=stage, rules=", ".join(sorted(rules)), python=PYTHON)
    return top + "".join(f"    - {line}\n" for line in lines)


def main() -> int:
    """Write or check every file; the exit code."""
    stale = []
    for stage, rules in stages().items():
        path, text = Path(__file__).with_name(f"{stage}.yaml"), text_of(stage, rules)
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run python envs/make.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
