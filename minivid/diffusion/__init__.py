"""Diffusion: noise is mixed into data, a network learns to predict what was there, a solver walks back.

Everything rests on one line, x_t = alpha(t) clean + sigma(t) noise, with t = 0 clean and t = 1 noise
(`paths`). A network predicts the clean data, the noise or the velocity, and each gives the other two
(`predictions`). A field is any callable (x_t, t) -> velocity; guidance and conditions wrap it (`guidance`),
and with its path it is all that a solver knows (`solvers`). At which noise levels to train and to sample:
`noise_levels`.
"""

from minivid.diffusion.guidance import classifier_free_guidance, guided_field, velocity_field
from minivid.diffusion.noise_levels import NoiseLevels, schedule, time_shift
from minivid.diffusion.paths import DDPM, MIN_SCALE, Cosine, Path, RectifiedFlow, add_noise
from minivid.diffusion.predictions import Prediction, Predicts, convert_prediction, loss
from minivid.diffusion.solvers import (
    Constraint,
    Solver,
    Step,
    ancestral,
    ddim,
    euler,
    heun,
    last_step,
    sample,
)
from minivid.diffusion.states import Field, State, map_state
