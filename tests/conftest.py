"""What several modules of tests set up alike."""

import pytest
import torch
from torch import nn

from minivid.experiments import small_task
from minivid.measure.stats import proportion_row
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig


@pytest.fixture(autouse=True)
def own_runs(tmp_path, monkeypatch):
    """What a test trains or encodes is kept in its own folder, and where --runs says so ends with it."""
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The task of the transformers, over in a moment."""
    monkeypatch.setattr(small_task, "DATASET_SIZE", 40)
    monkeypatch.setattr(small_task, "TEST_SIZE", 64)
    monkeypatch.setattr(small_task, "CONFIG", TrainConfig(3, 4, 1e-3))
    cached = small_task.training_set, small_task.alignment_targets, small_task.eval_set
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()


@pytest.fixture
def tiny_recipe() -> Recipe:
    """A recipe that is trained and scored in no time."""
    return Recipe(
        "tiny",
        build=lambda: nn.Linear(3, 3),
        draw_batch=lambda config, rng: (torch.randn(config.batch_size, 3, generator=rng),),
        loss=lambda network, batch, rng: network(batch[0]).square().mean(),
        configs={"laptop": TrainConfig(3, 2, 1e-3)},
        score=lambda network, n, seed: {"right": proportion_row([True] * n)},
    )
