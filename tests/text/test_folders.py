from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cpd.errors import CpdError
from cpd.text.folders import whole_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_the_new_folder_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "models"
    for text in ("old", "new"):
        with whole_folder(target) as folder:
            (folder / "file").write_text(text)
    assert (target / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_exception_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "models"
    with whole_folder(target) as folder:
        (folder / "file").write_text("old")
    with pytest.raises(IsADirectoryError), whole_folder(target) as folder:
        folder.write_text("no file, so half-way it fails")
    assert (target / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CpdError, match=r"thesis.txt"), whole_folder(tmp_path) as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
