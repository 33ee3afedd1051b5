"""Make the README's picture: the shipped pixel model walking from static to the digits asked for.

    python docs/picture.py

The finished digits come first, for viewers that show only an animation's first frame.
"""

from pathlib import Path

import torch

from minivid import diffusion, recipes, show
from minivid.recipes import pixels

network, labels = recipes.load("pixels"), torch.arange(10)
noise = torch.randn(10, 3, 24, 24, generator=torch.Generator().manual_seed(1))
field, times = pixels.field(network, labels), diffusion.schedule(24)
states = diffusion.sample(field, noise, times, pixels.PATH, diffusion.heun)
walk = [noise, *(state.x_t for state in states)]
film = torch.stack([*[walk[-1]] * 8, *walk[::2], *[walk[-1]] * 4], 2).clamp(-1, 1)
show.save(Path(__file__).with_name("static_to_digits.png"), show.mosaic(film, 5), scale=4)
