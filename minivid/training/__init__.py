"""Training: one loop, a generator (`loop`), and what it rests on. It knows no network and no data."""

from minivid.training.config import TrainConfig, step_of_rng, step_seed
from minivid.training.distributed import barrier, init_distributed, rank_and_world_size
from minivid.training.loop import DrawBatch, Loss, Progress, train
from minivid.training.precision import compiles, device, has_bf16
