"""Text to video in many formats: what it is trained on, and that a batch costs the same in every one."""

import pytest
import torch

from minivid import diffusion, pipeline, recipes, training, weights
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.measure import adherence
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.pipeline import TOKENIZER, Clip
from minivid.recipes import cache, features, formats, reader, video, video_64, video_score
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, render, scene


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training sets, but small, and cached where the test can see them."""
    small = {shape: (12, weight) for shape, (_, weight) in video.FORMATS.items()}
    monkeypatch.setattr(video, "FORMATS", small)
    for cached in (formats.training_set, formats.alignment_targets):
        cached.cache_clear()
    yield tmp_path
    for cached in (formats.training_set, formats.alignment_targets):
        cached.cache_clear()


def rng_of(step: int) -> torch.Generator:
    """What a step of a training of seed 0 draws from."""
    return torch.Generator().manual_seed(training.step_seed(0, step))


def test_the_first_steps_see_the_easy_world_alone(few):
    config = TrainConfig(1, 16, 1e-3)
    easy = formats.training_set(12, DEFAULT_FORMAT)[0][:4].float()
    for step in (0, 7, video.EASY_STEPS - 1):
        clean, *_ = video.draw_batch(config, rng_of(step))
        assert len(clean) == 16
        assert all(any(one.equal(other) for other in easy) for one in clean)
    others = [video.draw_batch(config, rng_of(video.EASY_STEPS + k))[0] for k in range(8)]
    assert not all(o.shape == clean.shape and any(o[0].equal(e) for e in easy) for o in others)


def test_every_format_comes_up_and_costs_about_as_many_tokens(few):
    config, sizes, cost = TrainConfig(6000, 16, 1e-3), {}, {}
    for step in range(60):
        clean, target, tokens = video.draw_batch(config, rng_of(video.EASY_STEPS + step))
        grid = tuple(clean.shape[2:])
        sizes[grid] = len(clean)
        cost[grid] = clean.numel() / (16 * 8 * 5 * 8 * 8)
        assert len(tokens) == len(clean) and tokens.shape[1] % 16 == 0
        assert target.shape == (len(clean), ALIGNMENT_DIM, clean.shape[2], *(x // 2 for x in clean.shape[3:]))
    grids = {(1 + s.frames // 4, s.height // 4, s.width // 4) for s in video.FORMATS}
    assert sizes.keys() == grids
    most = formats.MAX_STILLS * config.batch_size
    assert max(sizes.values()) == most, "stills, whose number is held down"
    rest = [ratio for grid, ratio in cost.items() if grid != (1, 8, 8)]
    assert 0.85 < min(rest) and max(rest) <= 1.2
    assert len(list((few / "latents").iterdir())) == 2 * len(video.FORMATS)


def test_alignment_stops_in_the_last_third(few):
    config = TrainConfig(6000, 16, 1e-3)
    last, first = (video.draw_batch(config, rng_of(step)) for step in (3999, 4000))
    assert len(last) == 3 and len(first) == 2
    assert len(first[0]) == len(first[1])

    def zero(x_t, t, tokens):
        return torch.zeros_like(x_t)

    assert video.loss(zero, first, rng_of(0)).isfinite()


def test_one_clip_in_nine_stays_easy(few):
    """Of 12 cached clips the first four are of the easy world; three of these are shown no more."""
    cached, scenes = formats.training_set(12, DEFAULT_FORMAT)
    easy = [one.style == "filled" and len(one.bodies) == 1 for one in scenes]
    assert all(easy[:4])
    config, shown = TrainConfig(6000, 16, 1e-3), set()
    for k in range(40):
        clean, *_ = video.draw_batch(config, rng_of(video.EASY_STEPS + k))
        if clean.shape[1:] == cached.shape[1:]:
            shown |= {j for one in clean for j in range(12) if one.equal(cached[j].float())}
    assert shown == set(range(3, 12))


def test_the_text_encoder_is_the_readers_and_learns_no_more():
    network = video.build()
    trained = weights.load("reader", reader.build()).text.state_dict()
    assert all(value.equal(trained[key]) for key, value in network.text.state_dict().items())
    config = TrainConfig(2, 2, 1e-2, muon_lr=0.02)
    batch = torch.randn(2, 8, 2, 8, 8), TOKENIZER(["a red 3", "a blue 7"])
    for _ in training.train(network, video.loss, lambda rng: batch, config):
        pass
    assert all(value.equal(trained[key]) for key, value in network.text.state_dict().items())
    shipped = recipes.load("video").text.state_dict()
    for key, value in shipped.items():  # weights are stored as int8, 127 for a row's largest
        steps = (value - trained[key]).abs() / trained[key].abs().amax(-1, keepdim=True) * 127
        assert steps.max() < 0.51, key


def test_latents_are_of_the_scenes_in_their_format_and_nothing_held_out(few):
    shape = Format(17, 32, 48)
    cached, scenes = formats.training_set(12, shape)
    with torch.no_grad():
        real = cache.video_codec().encode(render.video(scenes[:3], 17, 32, 48))
    torch.testing.assert_close(cached[:3].float(), real, atol=5e-3, rtol=5e-3)
    shown = set().union(*(_combinations(formats.training_set(12, s)[1]) for s in video.FORMATS))
    assert len(shown) > 50 and not shown & set(held_out.UNSEEN)
    assert not set(video.FORMATS) & set(formats.NEVER)


def test_larger_clips_are_of_the_same_scenes_with_as_many_tokens_that_show_the_same(few):
    shape = Format(17, 32, 48)
    cached, scenes = formats.training_set(12, shape, 64)
    small, same = formats.training_set(12, shape)
    assert scenes is same and cached.shape[2:] == small.shape[2:] and cached.shape[1] == 12
    with torch.no_grad():
        real = cache.video_codec(64).encode(render.video(scenes[:3], 17, 64, 96))
    torch.testing.assert_close(cached[:3].float(), real, atol=5e-3, rtol=5e-3)
    config = TrainConfig(6000, 4, 1e-3)
    for step in range(video.EASY_STEPS, video.EASY_STEPS + 3):
        ours, theirs = (recipe.draw_batch(config, rng_of(step)) for recipe in (video_64.RECIPE, video.RECIPE))
        assert ours[0].shape[2:] == theirs[0].shape[2:] and len(ours[0]) == len(theirs[0])
        assert all(one.equal(other) for one, other in zip(ours[1:], theirs[1:], strict=True))


def test_features_of_a_larger_clip_are_those_of_the_small_one_it_would_be():
    scenes = held_out.draw_scenes(20, 3)
    small, large = (features.clip_features(render.video(scenes, 17, n, n)) for n in (32, 64))
    distance = torch.cdist(large, small)
    assert distance.argmin(1).equal(torch.arange(20))
    assert distance.diag().mean() < distance.mean() / 4


def test_a_model_of_larger_clips_learns_and_generates_them(few):
    network, recipe = video_64.RECIPE.build(), video_64.RECIPE
    config = TrainConfig(2, 2, 1e-3)
    grid = 5, 8, 12
    assert network.positions(grid).equal(video.RECIPE.build().positions(grid)), "in short sides"

    def draw_batch(rng):
        return recipe.draw_batch(config, rng)

    losses = [p.loss for p in training.train(network, video.loss, draw_batch, config)]
    assert 1 < losses[0] < 10
    ready = video_score.ready(network, 64)
    assert ready.generate(["a red 3"], num_steps=1).video.shape == (1, 3, 17, 64, 64)
    still = ready.generate(["a red 3"], num_steps=1, shape=Format(1, 64, 96)).video
    assert still.shape[3:] == (64, 96)


def test_no_two_formats_share_their_scenes(few):
    firsts = [repr(formats.training_set(12, s)[1][0].bodies[0].hand) for s in video.FORMATS]
    assert len(set(firsts)) == len(firsts)


def test_who_knows_the_velocity_has_no_loss():
    clean = torch.randn(6, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    prompts = TOKENIZER(["a red 3"] * 6)

    def oracle(x_t, t, tokens):
        assert tokens is prompts
        return (x_t - clean) / t.view(-1, 1, 1, 1, 1).clamp(min=1e-6)

    def zero(x_t, t, tokens):
        return torch.zeros_like(x_t)

    rng = torch.Generator().manual_seed(0)
    assert video.loss(oracle, (clean, prompts), rng) < 1e-6
    nothing = video.loss(zero, (clean, prompts), rng)
    assert nothing.item() == pytest.approx(2, rel=0.05)


def test_what_a_token_shows_is_where_and_when_the_token_is(few):
    """A digit put out of one frame's place changes what is shown there and then, and nowhere far."""
    target = cache.alignment_target(48)
    clip = render.video(random_scenes.draw_scenes(1, 4))
    before = target.encode(clip)
    assert before.shape == (1, 48, 5, 4, 4)
    corner = clip[:, :, 6, :8, :8]  # frame 6 stands for frames 5 to 8, latent frame 2
    clip[:, :, 6, :8, :8] = -corner
    moved = (target.encode(clip) - before).abs().amax((0, 1))
    assert moved[[0, 1, 3, 4]].max() == 0 and moved[2, 0, 0] > 1
    assert moved[2, :2, :2].mean() > 3 * moved[2, 2:, 2:].mean(), "norms carry a little everywhere"
    shape = Format(9, 32, 32)
    real = target.encode(render.video(formats.training_set(12, shape)[1][:3], 9))
    cached = formats.alignment_targets(12, shape)[:3].float()
    torch.testing.assert_close(cached, real, atol=5e-2, rtol=5e-3)


def test_the_directions_kept_hold_most_of_the_features_of_the_target():
    shown = render.video(random_scenes.draw_scenes(40, 9, random_scenes.FULL))
    ours, every = (cache.alignment_target(dim).encode(shown).square().sum() for dim in (ALIGNMENT_DIM, 128))
    assert 0.9 * every < ours < every


def test_the_loss_of_an_aligned_network_is_that_of_the_velocity_and_the_angle():
    rng, shape = torch.Generator().manual_seed(0), (4, 8, 5, 8, 8)
    clean, target = torch.randn(shape, generator=rng), torch.randn(4, 48, 5, 4, 4, generator=rng)
    prompts = TOKENIZER(["a red 3"] * 4)

    class Aligned:
        sign = 1

        def __call__(self, x_t, t, tokens, return_alignment):
            assert return_alignment
            return torch.zeros_like(x_t), self.sign * target.flatten(2).transpose(1, 2)

    def loss(network, *batch):
        return video.loss(network, batch, torch.Generator().manual_seed(1)).item()

    velocity_loss = loss(lambda x_t, t, tokens: torch.zeros_like(x_t), clean, prompts)
    network = Aligned()
    assert loss(network, clean, target, prompts) == pytest.approx(velocity_loss, abs=1e-5)
    network.sign = -1
    expected = velocity_loss + 2 * video.ALIGNMENT_WEIGHT
    assert loss(network, clean, target, prompts) == pytest.approx(expected, abs=1e-5)


def test_most_noise_levels_are_around_the_middle_and_some_are_high():
    t = video.NOISE_LEVELS.draw(10_000, torch.Generator().manual_seed(0))
    assert len(t) == 10_000 and 0 <= t.min() and t.max() < 1
    middle, high = ((t > low) & (t < high) for low, high in ((0.25, 0.75), (0.9, 1.0)))
    shifted = diffusion.NoiseLevels(shift=pipeline.SHIFT)
    plain = shifted.draw(10_000, torch.Generator().manual_seed(1))
    assert middle.float().mean() > 1.1 * ((plain > 0.25) & (plain < 0.75)).float().mean()
    assert high.float().mean() > 1.1 * 0.1, "and more high ones than of levels spread evenly"


def _combinations(scenes) -> set[scene.Subject]:
    return {scene.Subject(body.digit, body.colour, body.heading) for one in scenes for body in one.bodies}


def test_in_scenes_of_two_digits_too_only_what_was_asked_for_appears():
    scenes = held_out.draw_scenes(400, 3, world=random_scenes.FULL)
    counts = [len(one.bodies) for one in scenes]
    assert 150 < counts.count(2) < 250 and set(counts) == {1, 2}
    assert _combinations(scenes) <= set(held_out.SEEN) and len(_combinations(scenes)) > 180
    unseen = held_out.draw_scenes(100, 3, held_out.UNSEEN, random_scenes.FULL)
    assert _combinations(unseen) == set(held_out.UNSEEN)


@pytest.mark.parametrize("recipe, size", [(video.RECIPE, 32), (video_64.RECIPE, 64)], ids=["32", "64"])
def test_the_score_asks_for_every_format_and_for_the_full_world(monkeypatch, recipe, size):
    """Whoever generates what was asked for is right in every row."""
    made = {}

    class Oracle:
        def __init__(self, network, size):
            self.format = DEFAULT_FORMAT.scaled(size)

        def generate(self, prompts, seed=0, shape=None):
            shape = shape or self.format
            room = render.room_for(shape.height, shape.width)
            asked = [captions.parse(prompt) for prompt in prompts]
            scenes = random_scenes.draw_scenes(len(asked), seed, random_scenes.EASY, room, asked)
            made[shape] = made.get(shape, 0) + len(scenes)
            return Clip(render.in_format(scenes, shape))

    compared, clip_features = [], features.clip_features
    dim = 8  # of the features, as so few clips cannot be compared in all

    def few_features(some):
        if len(some) > 1:  # one is asked how many numbers it has
            compared.append(some)
        return clip_features(some)[:, :dim]

    ask = adherence.ask

    def watched(*given, **named):
        generated, real = ask(*given, **named)
        assert generated.shape == real.shape
        return generated, real

    for module in (adherence, video_score):
        monkeypatch.setattr(module, "ask", watched)
    monkeypatch.setattr(video_score, "clip_features", few_features)
    monkeypatch.setattr(video_score, "ready", Oracle)
    table = recipe.score(None, 24, 5)
    assert len(compared) == 4 and {some.shape[2:] for some in compared} == {(17, size, size)}
    shapes = {shape.scaled(size) for shape in (*video.FORMATS, *formats.NEVER)}
    assert made.keys() == shapes and made[DEFAULT_FORMAT.scaled(size)] == 24 + 6 + 24 + 6 + 6
    proportions = (
        "digit",
        "all",
        "full_all_attributes",
        "unseen_full_digit",
        f"at_1x{size}x{size}",
        f"at_25x{size}x{size}",
    )
    assert all(table[key]["ours"] >= 0.83 for key in proportions), table
    assert len([key for key in table if key.startswith("at_")]) == len(shapes)
    assert table["full_all_attributes"]["floor"] < 0.3
