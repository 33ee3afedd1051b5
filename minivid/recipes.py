"""What is trained, on what, for how long, and how it is scored.

Each model is a `Recipe`: a network, a stream of batches, a loss, a plan for each scale ("laptop": two
CPU cores; "gpu": one GPU) and a score on scenes drawn fresh. `python -m minivid train NAME` and
`score NAME` do nothing but follow them.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from minivid import diffusion, judge, metrics, train, weights
from minivid.unet import UNet
from minivid.world import render, scene

SCALES = ("laptop", "gpu")
MAX_SEED = 2**31 - 1  # evaluation takes its seeds from 0 to here; training draws from above
SCORED = 1000  # clips or pictures behind the score on a card


@dataclass(frozen=True)
class Recipe:
    """How one model is made and measured.

    draw: (plan, generator) -> a batch; score: (network, n, seed) -> a table of metrics.
    """

    what: str
    build: Callable[[str], nn.Module]
    draw: Callable[[train.Plan, torch.Generator], tuple[Tensor, ...]]
    loss: train.Loss
    plans: dict[str, train.Plan]
    score: Callable[[nn.Module, int, int], dict]


def scale() -> str:
    """The scale in force: $MINIVID_SCALE if set, else "gpu" where there is a CUDA device."""
    chosen = os.environ.get("MINIVID_SCALE") or ("gpu" if torch.cuda.is_available() else "laptop")
    if chosen not in SCALES:
        raise ValueError(f"MINIVID_SCALE={chosen!r}: allowed are {' and '.join(SCALES)}.")
    return chosen


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError where there is none."""
    if name not in RECIPES:
        raise ValueError(f"no model is called {name!r}. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]


def load(name: str) -> nn.Module:
    """The shipped model of that name, ready to use on the CPU."""
    return weights.load(name, recipe(name).build("laptop"))


def run(name: str, at: str, runs: Path) -> Iterator[train.Progress]:
    """Train a model by its recipe, resuming what is in `runs`; at the end ship weights and card."""
    made = recipe(name)
    plan = made.plans[at]
    torch.manual_seed(plan.seed)
    network = made.build(at).to(train.device())
    began = time.time()
    clock = Path(runs) / f"{name}-{at}.pt"
    progress = None
    for progress in train.train(network, made.loss, lambda g: made.draw(plan, g), plan, clock):
        yield progress
    if progress is None:
        raise ValueError(f"{clock} is a finished training. Delete it to train {name} again.")
    shipped = name if at == "laptop" else f"{name}-{at}"
    card = {
        "model": name,
        "what": made.what,
        "scale": at,
        "made_by": f"python -m minivid train {name} --scale {at}",
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": round(time.time() - began),
        "machine": machine(),
        "last_loss": progress.loss,
    }
    weights.save(shipped, progress.network, card)
    kept = weights.load(shipped, made.build(at))  # scored as a reader gets them: rounded to fp16
    weights.save(shipped, kept, card | {"score": made.score(kept, SCORED, 2)})


def machine() -> str:
    """What this ran on, in words."""
    where = train.device()
    if where.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


# judge -------------------------------------------------------------------------------------------

_SIZES = (
    (32, 32),
    (32, 32),
    (64, 64),
    (32, 48),
    (48, 32),
)  # height, width of the clips it learns on


def judge_batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Crops (n, 2, CROP, CROP) of digits that can be seen, with digit and style (n,).

    Clips of both worlds at several sizes, and close-ups; each crop a little off and a little noisy,
    as what a half-trained model draws will be.
    """
    height, width = _SIZES[int(torch.randint(len(_SIZES), (), generator=generator))]
    scenes = scene.draw_scenes(plan.batch, generator, scene.FULL, render.room_for(height, width))
    video = (render.video(scenes, 5, height, width) + 1) / 2
    video = (video + 0.03 * torch.randn(video.shape, generator=generator)).clamp(0, 1)
    bodies = [(i, body) for i, one in enumerate(scenes) for body in one.bodies]
    clips = torch.tensor([i for i, _ in bodies])
    colours = torch.tensor([list(scene.COLOURS).index(body.colour) for _, body in bodies])
    ink = judge.find_ink(video)
    mine = ink[clips, colours]
    centre, view = render.camera([one.camera for one in scenes], scene.frame_times(5))
    centre, view = centre[clips], view[clips]
    places, area, bright = judge.locate(mine, centre, view)
    places = places + 0.03 * torch.randn(places.shape, generator=generator)
    zoomed = view / (1 + 0.06 * torch.randn(view.shape, generator=generator))
    offset = centre + (
        places - centre
    )  # the window moves with its wrong guess, the camera does not
    crops = judge.cut(mine, ink[clips].sum(1) - mine, bright, offset, centre, zoomed)
    visible = area > 0.35 * area.amax(1, keepdim=True)
    digits = torch.tensor([body.digit for _, body in bodies])[:, None].expand_as(visible)
    styles = torch.tensor([scene.STYLES.index(scenes[i].style) for i, _ in bodies])
    styles = styles[:, None].expand_as(visible)

    near = scene.draw_scenes(plan.batch, generator, scene.FULL)
    size = (24, 32, 48)[int(torch.randint(3, (), generator=generator))]
    close, _ = judge.portrait_crops(render.portraits(near, size))
    crops = torch.cat([crops[visible], close])
    softness = torch.rand(len(crops), 1, 1, 1, generator=generator) * 0.6
    crops = torch.lerp(crops, avg_pool2d(crops, 3, 1, 1), softness)
    crops = crops + 0.06 * torch.randn(crops.shape, generator=generator)
    more_digits = torch.tensor([one.bodies[0].digit for one in near])
    more_styles = torch.tensor([scene.STYLES.index(one.style) for one in near])
    return (
        crops,
        torch.cat([digits[visible], more_digits]),
        torch.cat([styles[visible], more_styles]),
    )


def judge_loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Cross-entropy of the digit, and half as much of the style."""
    crops, digits, styles = batch
    digit, style = network(crops)
    return cross_entropy(digit.float(), digits) + 0.5 * cross_entropy(style.float(), styles)


def judge_score(network: nn.Module, n: int, seed: int) -> dict:
    """Agreement of what the judge reads on real clips with what is in them; floor: shuffled pairs."""
    table = {}
    for prefix, world in (("", scene.FULL), ("easy_", scene.EASY)):
        scenes = scene.draw_scenes(n, seed, world)
        seen = read(network, scenes)
        asked = [one.describe() for one in scenes]
        told = [one.description for one in seen]
        rows = [judge.agreement(a, b) for a, b in zip(asked, told, strict=True)]
        floor = [judge.agreement(a, b) for a, b in zip(asked, told[1:] + told[:1], strict=True)]
        for key in rows[0]:
            table[prefix + key] = entry([r[key] for r in rows], [r[key] for r in floor])
        if world is scene.EASY:
            frames = torch.cat([s.digits.flatten() for s in seen])
            truth = torch.cat(
                [
                    torch.full((s.digits.numel(),), a.subjects[0].digit)
                    for s, a in zip(seen, asked, strict=True)
                ]
            )
            table["easy_frame_digit"] = entry(frames == truth)
        table[prefix + "identity"] = entry([s.same_digit for s in seen])
    return table


def read(network: judge.Judge, scenes: list[scene.Scene], batch: int = 100) -> list[judge.Seen]:
    """Render scenes and let the judge read them."""
    parts = [scenes[i : i + batch] for i in range(0, len(scenes), batch)]
    return [seen for part in parts for seen in network.read(render.video(part))]


def entry(right, floor=None, ceiling: float | None = None) -> dict:
    """One row of a score: floor, ours, ceiling and the 95 % interval of ours."""
    ours = metrics.share(torch.as_tensor(right))
    low = None if floor is None else metrics.share(torch.as_tensor(floor)).value
    return {"floor": low, "ours": ours.value, "ceiling": ceiling, "interval": [ours.low, ours.high]}


def chance(measured: metrics.Measured) -> dict:
    """One row of a score that is a probability, with neither floor nor ceiling."""
    return {
        "floor": None,
        "ours": measured.value,
        "ceiling": None,
        "interval": [measured.low, measured.high],
    }


# pixels ------------------------------------------------------------------------------------------

PIXELS_SIZE = 24
PIXELS_PATH = diffusion.RectifiedFlow()
UNASKED = 10  # the label that asks for no digit in particular
DROPPED = 0.3  # share of training pictures whose label is hidden


def pixels_batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Close-ups (b, 3, 24, 24) of the easy world's digits, and which digit each shows (b,)."""
    scenes = scene.draw_scenes(plan.batch, generator)
    labels = torch.tensor([one.bodies[0].digit for one in scenes])
    return render.portraits(scenes, PIXELS_SIZE), labels


def pixels_loss(
    network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator
) -> Tensor:
    """Velocity prediction on the straight path, labels dropped now and then.

    Noise levels are drawn evenly: crowded around 1/2 they would leave out the noisiest ones, where it
    is decided which digit appears.
    """
    clean, labels = batch
    dropped = torch.rand(len(labels), generator=generator) < DROPPED
    told = labels.masked_fill(dropped.to(labels.device), UNASKED)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, told)

    return diffusion.loss(predict, clean, generator, PIXELS_PATH, "velocity")


def pixels_field(network: nn.Module, labels: Tensor, guidance: float = 1.0) -> diffusion.Field:
    """The velocity field that leads to pictures of the digits asked for: labels (b,)."""

    def field(told: Tensor) -> diffusion.Field:
        return diffusion.field(lambda x_t, t: network(x_t, t, told), PIXELS_PATH, "velocity")

    if guidance == 1:
        return field(labels)
    return diffusion.guided(field(labels), field(torch.full_like(labels, UNASKED)), guidance)


def draw_pixels(
    network: nn.Module, labels: Tensor, seed: int, steps: int = 24, guidance: float = 1.0
) -> Tensor:
    """Pictures of the digits asked for: labels (b,) -> (b, 3, 24, 24) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(labels), 3, PIXELS_SIZE, PIXELS_SIZE, generator=generator).to(where)
    field = pixels_field(network.eval(), labels.to(where), guidance)
    *_, last = diffusion.sample(
        field, noise, diffusion.schedule(steps), PIXELS_PATH, diffusion.heun
    )
    return last.x_t.clamp(-1, 1)


def pixels_score(network: nn.Module, n: int, seed: int) -> dict:
    """Asked for each digit in turn, which does the judge read, and how evenly; and if none is asked?"""
    referee = load("judge")
    asked = torch.arange(n) % 10

    def read(labels: Tensor, seed: int) -> Tensor:
        parts = [draw_pixels(network, part, seed + k) for k, part in enumerate(labels.split(250))]
        return torch.cat([referee.read_portraits(part)[0] for part in parts])

    digits, unasked = read(asked, seed), read(torch.full_like(asked, UNASKED), seed + 1000)
    scenes = scene.draw_scenes(n, seed)
    real = referee.read_portraits(render.portraits(scenes, PIXELS_SIZE))[0]
    truth = torch.tensor([one.bodies[0].digit for one in scenes])
    return {
        "digit": entry(
            digits == asked, digits == asked.roll(1), metrics.share(real == truth).value
        ),
        "balance": chance(metrics.balance(digits, 10)),
        "balance_unasked": chance(metrics.balance(unasked, 10)),
    }


RECIPES = {
    "judge": Recipe(
        what="names the digit and the style of an ink crop: the referee of every other model",
        build=lambda at: judge.Judge(),
        draw=judge_batch,
        loss=judge_loss,
        plans={
            "laptop": train.Plan(steps=2500, batch=16, learning_rate=2e-3, ema=0.998),
            "gpu": train.Plan(steps=2500, batch=16, learning_rate=2e-3, ema=0.998),
        },
        score=judge_score,
    ),
    "pixels": Recipe(
        what="a U-Net that turns static into close-ups of the digit asked for",
        build=lambda at: UNet(width=64),
        draw=pixels_batch,
        loss=pixels_loss,
        plans={
            "laptop": train.Plan(steps=3500, batch=64, learning_rate=1.5e-3, precision="bf16"),
            "gpu": train.Plan(steps=8000, batch=256, learning_rate=1e-3, precision="bf16"),
        },
        score=pixels_score,
    ),
}
