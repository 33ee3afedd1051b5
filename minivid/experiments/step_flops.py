"""FLOPs of one training step of the small task's transformers, a multiply-add being two."""

import torch
from torch import nn

from minivid.experiments.small_task import draw_batch
from minivid.models.text_to_video import TextToVideo
from minivid.recipes import video
from minivid.recipes.flops import count_flops
from minivid.training import TrainConfig

ONE_CLIP = TrainConfig(1, 1, 1e-3)


def step_flops(model: nn.Module) -> int:
    """Of one step on one clip, forward and backward."""
    batch = draw_batch(ONE_CLIP, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    counted = count_flops(lambda: video.loss(model, batch, rng).backward())
    model.zero_grad()
    return counted


def text_flops(model: TextToVideo) -> int:
    """Those of them that go into reading the sentence, which is not learned here."""
    _, tokens = draw_batch(ONE_CLIP, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return count_flops(lambda: model.text(tokens))
