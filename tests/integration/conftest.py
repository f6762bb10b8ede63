"""The trained study of the integration tests."""

from __future__ import annotations

import pytest
from trained import Run, crossres, small_config


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained project folder, one a worker."""
    folder = tmp_path_factory.mktemp("project")
    config = small_config(folder)
    first = crossres("train", "--config", str(config), folder=folder)
    assert first.returncode == 0, first.stderr
    return Run(folder, config, first)
