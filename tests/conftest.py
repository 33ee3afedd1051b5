"""What several modules of tests set up alike."""

import pytest

from minivid.experiments import small_task
from minivid.training import TrainConfig


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    """What a test trains or encodes is kept in its own folder, and where --runs says so ends with it."""
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The task of the transformers, over in a moment."""
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path))
    monkeypatch.setattr(small_task, "DATASET_SIZE", 40)
    monkeypatch.setattr(small_task, "TEST_SIZE", 64)
    monkeypatch.setattr(small_task, "CONFIG", TrainConfig(3, 4, 1e-3))
    cached = small_task.training_set, small_task.alignment_targets, small_task.eval_set
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()
