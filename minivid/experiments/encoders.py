"""Who should read the prompt? Four ways to tell a network what to draw, on stills of two digits.

"a red 3 and a blue 7" asks for more than four words: the 3 is to be red. Each reader is joined to the
shipped video model, which knows what a digit looks like and has never seen two of them, by a fresh
linear layer; then all is taught on stills, since the question is about words, not motion.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from minivid import diffusion, judge, recipes, text, train
from minivid.experiments.keeping import Follow, followed, keep, shares
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "no text, a bag of words, the contrastive encoder frozen, an encoder learned along"
SEEDS = (0, 1, 2)
TWO = scene.World((2,), ("still",), ("steady",), ("filled",), hums=0.0)
PLAN = train.Plan(steps=400, batch=64, learning_rate=2e-3, precision="bf16")
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


class Along(nn.Module):
    """An encoder of the same shape that learns from nothing but the pictures' loss."""

    def __init__(self):
        super().__init__()
        self.text = text.TextEncoder(len(TOKENISER.words))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text(tokens)[1]


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "no text": NoText,
    "bag of words": BagOfWords,
    "contrastive, frozen": Frozen,
    "learned along": Along,
}


class Told(nn.Module):
    """A U-Net and the encoder that reads for it: x_t (b, 3, 1, h, w), t (b,), tokens (b, n)."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder, self.unet = encoder, recipes.load("clips")

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        return self.unet(x_t, t, self.encoder(tokens))


def describe(one: scene.Scene) -> scene.Description:
    """What a still shows: digits and their colours."""
    return scene.Description(tuple(scene.Subject(b.digit, b.colour) for b in one.bodies))


def batch(
    plan: train.Plan, generator: torch.Generator, world: scene.World = TWO
) -> tuple[Tensor, ...]:
    """Stills (b, 3, 1, 32, 32) and their captions' tokens (b, n), one in ten empty."""
    scenes = scene.draw_scenes(plan.batch, generator, world)
    sentences = [captions.write(describe(one), generator) for one in scenes]
    unsaid = (torch.rand(plan.batch, generator=generator) < clips.UNSAID).tolist()
    heard = ["" if empty else words for words, empty in zip(sentences, unsaid, strict=True)]
    return render.video(scenes, 1), TOKENISER(heard)


def loss(network: nn.Module, shown: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """As the video model is trained."""
    clean, tokens = shown
    return diffusion.loss(
        lambda x_t, t: network(x_t, t, tokens),
        clean,
        generator,
        clips.PATH,
        "clean",
        draw_t=clips.draw_t,
    )


@torch.no_grad()
def draw(
    network: nn.Module, sentences: list[str], seed: int, guidance: float = GUIDANCE, steps: int = 12
) -> Tensor:
    """Stills of what the sentences say: (b, 3, 1, 32, 32). Seeded on the CPU."""
    noise = torch.randn(len(sentences), 3, 1, 32, 32, generator=torch.Generator().manual_seed(seed))

    def towards(words: list[str]) -> diffusion.Field:
        tokens = TOKENISER(words)
        return diffusion.field(lambda x_t, t: network(x_t, t, tokens), clips.PATH, "clean")

    field = diffusion.guided(towards(sentences), towards([""] * len(sentences)), guidance)
    times = diffusion.schedule(steps, clips.SHIFT)
    *_, last = diffusion.sample(field, noise, times, clips.PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def binding(asked: list[scene.Description], seen: list[scene.Description]) -> dict[str, Tensor]:
    """words: the digits and the colours asked for are all there; bound: each digit in its own colour."""

    def words(one: scene.Description) -> list:
        return [sorted(s.digit for s in one.subjects), sorted(s.colour for s in one.subjects)]

    rows = [judge.agreement(a, s) for a, s in zip(asked, seen, strict=True)]
    return {
        "words": torch.tensor([words(a) == words(s) for a, s in zip(asked, seen, strict=True)]),
        "bound": torch.tensor([row["digit"] and row["colour"] for row in rows]),
    }


def trained(name: str, seed: int, follow: Follow) -> nn.Module:
    """The shipped video model with another reader, which begins anew unless it is frozen."""
    plan = replace(PLAN, seed=seed)
    torch.manual_seed(seed)
    network = Told(ENCODERS[name]())
    network.unet.label.reset_parameters()
    return followed(network, loss, lambda g: batch(plan, g), plan, follow, f"{name}, seed {seed}")


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{encoder: {"words", "bound"}}, and of real stills under "real"."""
    viewer = referee()
    scenes = scene.draw_scenes(n, seed, TWO)
    asked = [describe(one) for one in scenes]
    sentences = [captions.write(one) for one in asked]
    table = {"real": _measure(viewer, asked, render.video(scenes, 1))}
    for name in ENCODERS:
        video = draw(trained(name, seed, follow), sentences, seed)
        table[name] = _measure(viewer, asked, video)
        if seed == SEEDS[0]:
            keep("encoders", name, video[:8])
    return table


def _measure(viewer: judge.Judge, asked: list[scene.Description], video: Tensor) -> dict:
    return shares(binding(asked, [one.description for one in clips.look(viewer, video)]))
