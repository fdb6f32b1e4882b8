from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.workflow_copies import copy_workflow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the workflow whose rules touch their outputs instead of running their commands."""
    copy_workflow(tmp_path)
    return tmp_path
