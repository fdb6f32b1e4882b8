"""The digest changes with what code does, wherever it is imported from, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd import digest
from cpd.digest import PACKAGE, Sources, code_digest, reach
from cpd.errors import CpdError

STAGE = '''"""Doc."""
from typing import TYPE_CHECKING
from pack.deep import inner
if TYPE_CHECKING:
    from pack.types import T
def f():
    from pack import late
    return late.x + inner.y
'''
FILES = {
    "__init__.py": "",
    "stage.py": STAGE,
    "late.py": "import pack.leaf\nx = 1\n",
    "leaf.py": "import pack.stage\nz = 3  # a circle\n",
    "deep/__init__.py": "",
    "deep/inner.py": "y = 2\n",
    "deep/beside.py": "w = 4\n",
    "types.py": "T = int\n",
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def changed(pack: Path, tmp_path: Path, name: str, text: str) -> bool:
    """Whether the digest of `stage` differs in a copy where one file is another (files are read once a process)."""
    before = code_digest("pack.stage", package=pack)
    copy = tmp_path / "copy" / "pack"
    for file in FILES:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_text(text if file == name else (pack / file).read_text())
    return before != code_digest("pack.stage", package=copy)


def test_same_code_gives_the_same_digest(pack: Path, tmp_path: Path) -> None:
    assert not changed(pack, tmp_path, "late.py", FILES["late.py"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("late.py", "# why\nimport pack.leaf\n\n\nx = (1)\n"),
        ("stage.py", FILES["stage.py"].replace("Doc.", "Other words.").replace("def f():", 'def f():\n    """Doc."""')),
        ("deep/beside.py", "w = 5\n"),
        ("types.py", "T = str\n"),
    ],
    ids=["comment and layout", "docstrings", "not imported", "types only"],
)
def test_what_computes_nothing_changes_nothing(pack: Path, tmp_path: Path, name: str, text: str) -> None:
    assert not changed(pack, tmp_path, name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stage.py", FILES["stage.py"].replace("+", "-")),
        ("late.py", "import pack.leaf\nx = 2\n"),
        ("leaf.py", "import pack.stage\nz = 4\n"),
        ("deep/inner.py", "y = 3\n"),
        ("deep/__init__.py", "v = 1\n"),
        ("late.py", 'import pack.leaf\nx = 1\ndef g(a="not a docstring"):\n    return "a"\n'),
    ],
    ids=["itself", "inside a function", "imported by an import", "submodule", "package around", "string"],
)
def test_what_computes_changes_it(pack: Path, tmp_path: Path, name: str, text: str) -> None:
    assert changed(pack, tmp_path, name, text)


def test_a_package_stands_for_all_that_is_in_it(pack: Path) -> None:
    assert reach("pack.deep", package=pack) == {"pack.deep", "pack.deep.inner", "pack.deep.beside"}


def test_a_module_without_a_file_is_named(pack: Path) -> None:
    with pytest.raises(CpdError, match=r"pack\.nowhere"):
        code_digest("pack.nowhere", package=pack)


def test_a_file_that_is_not_python_is_named(pack: Path) -> None:
    (pack / "broken.py").write_text("def (:\n")
    with pytest.raises(CpdError, match=r"broken\.py"):
        code_digest("pack.broken", package=pack)


def test_config_and_command_line_are_left_out_and_nothing_else_is() -> None:
    modules = reach("cpd.commands.config", "cpd.evaluate.knn")
    assert {"cpd.commands.config", "cpd.evaluate.knn", "cpd.evaluate.factors", "cpd.tables.cells"} <= modules
    assert not [name for name in modules if name.split(".")[1:2] in (["config"], ["cli"], ["errors"])]


def test_every_module_of_ours_can_be_digested() -> None:
    names = [".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts) for p in (PACKAGE / "evaluate").glob("*.py")]
    assert len({code_digest(name.removesuffix(".__init__")) for name in names}) == len(names)


def test_what_is_kept_is_what_would_be_read(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    files = sorted(PACKAGE.rglob("*.py"))
    first, second = Sources(path), Sources(path)
    fresh = [first.read(file) for file in files]
    first._save(0)
    assert path.exists()
    assert [second.read(file) for file in files] == fresh


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    sources = Sources(tmp_path / "kept.json")
    file.write_text("x = 1\n")
    assert sources.read(file).text == "x = 1"
    file.write_text("x = 2\n")
    assert sources.read(file).text == "x = 2"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"a": 1}', b"\xff"])
def test_a_torn_cache_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    file, path = tmp_path / "a.py", tmp_path / "kept.json"
    file.write_text("import cpd.errors\nx = 1\n")
    path.write_bytes(damage)
    assert Sources(path).read(file).imports == (("cpd.errors", ""),)


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    (tmp_path / "file").write_text("")
    sources = Sources(tmp_path / "file" / "kept.json")
    assert sources.read(file).text == "x = 1"
    sources._save(0)


def test_old_versions_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MOST_KEPT", 3)
    file, sources = tmp_path / "a.py", Sources(tmp_path / "kept.json")
    for number in range(5):
        file.write_text(f"x = {number}\n")
        sources.read(file)
    sources._save(0)
    later = Sources(tmp_path / "kept.json")
    later.read(file)
    assert len(later._known or {}) == 5, "all of this process are in use"
    later._used = {next(iter(later._known or {}))}
    later._save(0)
    assert len(Sources(tmp_path / "kept.json")._load()) == 1
