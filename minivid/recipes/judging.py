"""The judge's recipe: crops of digits from both worlds, and an exam on real clips."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from minivid import judge, train, weights
from minivid.recipes.recipe import Recipe, entry
from minivid.world import render, scene

_SIZES = (
    (32, 32),
    (32, 32),
    (64, 64),
    (32, 48),
    (48, 32),
)  # height, width of the clips it learns on


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
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
    crops = judge.cut(mine, ink[clips].sum(1) - mine, bright, places, centre, zoomed)
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


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Cross-entropy of the digit, and half as much of the style."""
    crops, digits, styles = batch
    digit, style = network(crops)
    return cross_entropy(digit.float(), digits) + 0.5 * cross_entropy(style.float(), styles)


def score(network: nn.Module, n: int, seed: int) -> dict:
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


def read(network: judge.Judge, scenes: list[scene.Scene], at_once: int = 100) -> list[judge.Seen]:
    """Render scenes and let the judge read them."""
    parts = [scenes[i : i + at_once] for i in range(0, len(scenes), at_once)]
    return [seen for part in parts for seen in network.read(render.video(part))]


def agreement(
    asked: list[scene.Description], seen: list[judge.Seen], truth: list[judge.Seen]
) -> dict:
    """One row an attribute; floor: what is seen in the next clip; ceiling: in the real one."""
    ours, floor, ceiling = (
        [judge.agreement(a, b.description) for a, b in zip(asked, told, strict=True)]
        for told in (seen, seen[1:] + seen[:1], truth)
    )
    return {
        key: entry(
            [row[key] for row in ours],
            [row[key] for row in floor],
            sum(row[key] for row in ceiling) / len(ceiling),
        )
        for key in ours[0]
    }


def referee() -> judge.Judge:
    """The shipped judge, who scores every other model."""
    return weights.load("judge", judge.Judge())


RECIPE = Recipe(
    what="names the digit and the style of an ink crop: the referee of every other model",
    build=judge.Judge,
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=2500, batch=16, learning_rate=2e-3, ema=0.998),
        "gpu": train.Plan(steps=2500, batch=16, learning_rate=2e-3, ema=0.998),
    },
    score=score,
)
