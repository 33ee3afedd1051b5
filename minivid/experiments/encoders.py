"""Who should read the prompt? Five readers, and a sentence in which the order of words matters.

"a red 3 moves left, the camera pans up" and "a red 3 moves up, the camera pans left" are the same words.
Each reader is joined to the shipped video model, which has never seen the camera move, and taught on
clips in which it does. A fresh reader first learns to answer sentences of the easy world as the shipped
encoder does, so that all begin with the same knowledge of digits, colours and headings.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, one_hot

from minivid import diffusion, judge, recipes, text, train
from minivid.experiments.keeping import Follow, followed, keep, shares
from minivid.recipes import clips, words
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "no text, a bag of words, a contrastive encoder, one learned along, one taught that order counts"
SEEDS = (0, 1, 2)
PANS = scene.CAMERAS[1:5]
PANNED = scene.World((1,), PANS, ("steady",), ("filled",), hums=0.0)
FRAMES = 9
PLAN = train.Plan(steps=300, batch=16, learning_rate=1e-3, decay=0.6, precision="bf16")
MIMIC = train.Plan(steps=300, batch=64, learning_rate=3e-3)
SWAPS = train.Plan(steps=250, batch=32, learning_rate=1e-3)
GUIDANCE = 2.0


class NoText(nn.Module):
    """Whatever is said, nothing is heard: tokens (b, n) -> (b, 128)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.zeros(len(tokens), 128, device=tokens.device)


class BagOfWords(nn.Module):
    """Which words occur, in no order: tokens (b, n) -> (b, 128)."""

    def __init__(self):
        super().__init__()
        self.word = nn.Linear(len(TOKENISER.words), 128, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        counts = one_hot(tokens, len(TOKENISER.words)).sum(1).float()
        counts[:, text.PADDING] = 0
        return self.word(counts)


class Frozen(nn.Module):
    """The encoder that learned to match captions and clips, as it is: tokens (b, n) -> (b, 128)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return clips.encode(tokens.cpu()).to(tokens.device)


class Taught(nn.Module):
    """The same encoder, taught some minutes more that a swapped caption is a wrong one, then frozen."""

    def __init__(self):
        super().__init__()
        self.text = recipes.load("words").text.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text(tokens)[1]


class Along(nn.Module):
    """An encoder of the same shape that goes on learning, from the clips' loss alone."""

    def __init__(self):
        super().__init__()
        self.text = text.TextEncoder(len(TOKENISER.words))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text(tokens)[1]


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "no text": NoText,
    "bag of words": BagOfWords,
    "contrastive": Frozen,
    "learned along": Along,
    "contrastive, swaps": Taught,
}


class Told(nn.Module):
    """A U-Net and the encoder that reads for it: x_t (b, 3, f, h, w), t (b,), tokens (b, n)."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder, self.unet = encoder, recipes.load("clips")

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        return self.unet(x_t, t, self.encoder(tokens))


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips under a panning camera (b, 3, 9, 32, 32) and their captions' tokens (b, n), some empty."""
    scenes = scene.draw_scenes(plan.batch, generator, PANNED)
    sentences = [captions.write(one.describe()) for one in scenes]
    return render.video(scenes, FRAMES), TOKENISER(clips.some_unsaid(sentences, generator))


@torch.no_grad()
def draw(
    network: nn.Module,
    sentences: list[str],
    seed: int,
    guidance: float = GUIDANCE,
    steps: int = 12,
    frames: int = 1,
) -> Tensor:
    """Stills, or clips, of what the sentences say: (b, 3, frames, 32, 32). Seeded on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(sentences), 3, frames, 32, 32, generator=generator)
    asked, unasked = TOKENISER(sentences), TOKENISER([""] * len(sentences))
    field = diffusion.conditional(network, asked, unasked, guidance, clips.PATH, "clean")
    times = diffusion.schedule(steps, clips.SHIFT)
    *_, last = diffusion.sample(field, noise, times, clips.PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def binding(asked: list[scene.Description], seen: list[scene.Description]) -> dict[str, Tensor]:
    """words: the two ways asked for are there, whosever they are; bound: each is its own.

    plain: the digit and its colour, which no order of words can confuse.
    """

    def ways(one: scene.Description) -> tuple[str, str]:
        return one.subjects[0].heading, one.camera.removeprefix("pan ")

    pairs = [(ways(a), ways(b)) for a, b in zip(asked, seen, strict=True)]
    rows = [judge.agreement(a, b) for a, b in zip(asked, seen, strict=True)]
    return {
        "plain": torch.tensor([row["digit"] and row["colour"] for row in rows]),
        "words": torch.tensor([sorted(a) == sorted(b) for a, b in pairs]),
        "bound": torch.tensor([a == b for a, b in pairs]),
    }


def crossed(n: int, seed: int) -> list[scene.Scene]:
    """Scenes in which the digit goes one way and the camera another."""
    drawn = scene.draw_scenes(2 * n, seed, PANNED)
    return [one for one in drawn if one.camera != f"pan {one.bodies[0].heading}"][:n]


def trained(name: str, seed: int, follow: Follow) -> nn.Module:
    """The shipped video model with another reader."""
    torch.manual_seed(seed)
    reader = ENCODERS[name]()
    if isinstance(reader, BagOfWords | Along):
        plan = replace(MIMIC, seed=seed)
        reader = followed(reader, _mimic, lambda g: easy(plan, g), plan, follow, f"{name}, easy")
        reader.requires_grad_(True)
    elif isinstance(reader, Taught):
        reader.text = teach_order(seed, follow).text
    plan, network = replace(PLAN, seed=seed), Told(reader)
    return followed(
        network, clips.loss, lambda g: batch(plan, g), plan, follow, f"{name}, seed {seed}"
    )


def teach_order(seed: int, follow: Follow) -> text.Pair:
    """The shipped pair, taught on clips whose wrong answers are their own captions, two words swapped.

    ("Composition-aware hard negatives", Yuksekgonul et al. 2022, arXiv 2210.01936.)
    """
    plan, pair = replace(SWAPS, seed=seed), recipes.load("words").requires_grad_(True)
    learned = followed(pair, words.loss, lambda g: swaps(plan, g), plan, follow, "swapped captions")
    return learned.requires_grad_(False)


def swaps(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Tokens of captions and of swapped ones, clips for the first b, and the `codes` of all: see `words`.

    A third of the clips is of the easy world, so that nothing is forgotten.
    """
    panned = scene.draw_scenes(plan.batch * 2 // 3, generator, PANNED)
    scenes = panned + scene.draw_scenes(plan.batch - len(panned), generator)
    shown = [one.describe() for one in scenes]
    said = shown + [swapped(one) for one in shown[: len(panned)]]
    tokens = TOKENISER([captions.write(one) for one in said])
    return tokens, render.video(scenes, FRAMES), words.codes(said), words.codes(shown)


def swapped(one: scene.Description) -> scene.Description:
    """The digit goes where the camera went, and the camera where the digit went."""
    (subject,) = one.subjects
    way = one.camera.removeprefix("pan ")
    return replace(one, subjects=(replace(subject, heading=way),), camera=f"pan {subject.heading}")


def easy(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of the easy world: tokens (b, n), and how the shipped encoder understands them (b, d)."""
    scenes = scene.draw_scenes(plan.batch, generator)
    tokens = TOKENISER([captions.write(one.describe()) for one in scenes])
    return tokens, clips.encode(tokens)


def _mimic(reader: nn.Module, shown: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    tokens, meant = shown
    return mse_loss(reader(tokens), meant)


def run(seed: int, follow: Follow, n: int = 100) -> dict:
    """{reader: {"plain", "words", "bound"}}, and of real clips under "real"."""
    viewer = referee()
    scenes = crossed(n, seed)
    asked = [one.describe() for one in scenes]
    sentences = [captions.write(one) for one in asked]
    table = {"real": _measure(viewer, asked, render.video(scenes, FRAMES))}
    for name in ENCODERS:
        video = draw(trained(name, seed, follow), sentences, seed, frames=FRAMES)
        table[name] = _measure(viewer, asked, video)
        if seed == SEEDS[0]:
            keep("encoders", name, video[:4])
    return table


def _measure(viewer: judge.Judge, asked: list[scene.Description], video: Tensor) -> dict:
    return shares(binding(asked, [one.description for one in clips.look(viewer, video)]))
