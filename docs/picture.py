"""Make the README's pictures, both animated: a clip with its sound, and noise that becomes digits.

    python docs/picture.py

What is finished comes first in the second, for viewers that show only an animation's first frame.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from minivid import diffusion, pipeline, recipes, show
from minivid.recipes import pixels

FOLDER = Path(__file__).parent
EASY = ", the camera is still, the light is steady, filled"
PROMPTS = [f"{one}{EASY}" for one in ("a red 3 moves right", "a cyan 7 moves up", "a yellow 5 moves left")]
SIZE, WAVE = 192, 48  # pixels of a clip's side, and of the height of its sound
BLUE, GREY = (-1.0, -0.1, 0.4), (0.6, 0.6, 0.6)


def with_sound(video: Tensor, audio: Tensor) -> Tensor:
    """A clip (3, f, h, w) above its sound (n,), of which what has been heard is blue: (3, f, h', w')."""
    frames = video.shape[1]
    large = interpolate(video.transpose(0, 1), (SIZE, SIZE), mode="nearest").transpose(0, 1)
    loudest = audio.unflatten(0, (SIZE, -1)).abs().amax(1).clamp(min=0.02)
    rows = (torch.arange(WAVE) - (WAVE - 1) / 2).abs()[:, None] / (WAVE / 2)
    inked = rows < loudest / loudest.max()
    pictures = []
    for frame in range(frames):
        heard = torch.arange(SIZE) < SIZE * (frame + 1) / frames
        wave = torch.ones(3, WAVE, SIZE)
        for colour, where in ((BLUE, inked & heard), (GREY, inked & ~heard)):
            wave = torch.where(where, torch.tensor(colour)[:, None, None], wave)
        pictures.append(wave)
    return torch.cat([large, torch.stack(pictures, 1)], 2)


def clip_with_sound() -> None:
    made = pipeline.load("joint").generate(PROMPTS, seed=0)
    audio = made.audio[:, : made.audio.shape[1] // SIZE * SIZE]
    clips = [with_sound(video, sound) for video, sound in zip(made.video, audio, strict=True)]
    show.save(FOLDER / "clip_with_sound.png", show.mosaic(clips, len(clips)), scale=1)
    for k, prompt in enumerate(PROMPTS):
        print(f"{k}: {prompt}")


def noise_to_digits() -> None:
    network, labels = recipes.load("pixels"), torch.arange(10)
    noise = torch.randn(10, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    field, timesteps = pixels.field(network, labels), diffusion.schedule(24)
    steps = diffusion.sample(field, noise, timesteps, pixels.PATH, diffusion.heun)
    states = [noise, *(step.x_t for step in steps)]
    film = torch.stack([*[states[-1]] * 8, *states[::2], *[states[-1]] * 4], 2).clamp(-1, 1)
    show.save(FOLDER / "static_to_digits.png", show.mosaic(film, 5), scale=4)


if __name__ == "__main__":
    clip_with_sound()
    noise_to_digits()
