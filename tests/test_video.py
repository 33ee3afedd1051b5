"""Text to video in many formats: what it is trained on, and that a batch costs the same in every one."""

import pytest
import torch

from minivid import generator, recipes, train, weights
from minivid.recipes import cache, clips, held_out, latents, reader, teacher, video
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training sets, but small, and kept where the test can see them."""
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    formats = {at: (12, share) for at, (_, share) in video.FORMATS.items()}
    monkeypatch.setattr(video, "FORMATS", formats)
    for kept in (video.training_set, video.shown):
        kept.cache_clear()
    yield tmp_path
    for kept in (video.training_set, video.shown):
        kept.cache_clear()


def draws(step: int) -> torch.Generator:
    """What a step of a plan of seed 0 draws from."""
    return torch.Generator().manual_seed(train.step_seed(0, step))


def test_the_first_steps_see_the_easy_world_alone(few):
    plan = train.Plan(1, 16, 1e-3)
    easy = video.training_set(12, generator.USUAL)[0][:4].float()
    for step in (0, 7, video.EASY - 1):
        clean, *_ = video.batch(plan, draws(step))
        assert len(clean) == 16
        assert all(any(one.equal(known) for known in easy) for one in clean)
    others = [video.batch(plan, draws(video.EASY + k))[0] for k in range(8)]
    assert not all(o.shape == clean.shape and any(o[0].equal(e) for e in easy) for o in others)


def test_every_format_comes_up_and_costs_about_as_many_tokens(few):
    plan, seen, cost = train.Plan(6000, 16, 1e-3), {}, {}
    for seed in range(60):
        clean, meant, said = video.batch(plan, draws(video.EASY + seed))
        seen[tuple(clean.shape[2:])] = len(clean)
        cost[tuple(clean.shape[2:])] = clean.numel() / (16 * 8 * 5 * 8 * 8)
        assert len(said) == len(clean) and said.shape[1] % 16 == 0
        assert meant.shape == (len(clean), 48, clean.shape[2], *(x // 2 for x in clean.shape[3:]))
    grids = {(1 + at.frames // 4, at.height // 4, at.width // 4) for at in video.FORMATS}
    assert seen.keys() == grids
    assert max(seen.values()) == video.MOST * plan.batch, "stills, whose number is held down"
    rest = [share for grid, share in cost.items() if grid != (1, 8, 8)]
    assert 0.85 < min(rest) and max(rest) <= 1.2
    assert len(list(few.iterdir())) == 2 * len(video.FORMATS)


def test_the_teacher_is_silent_in_the_last_third(few):
    plan = train.Plan(6000, 16, 1e-3)
    last, first = (video.batch(plan, draws(step)) for step in (3999, 4000))
    assert len(last) == 3 and len(first) == 2
    assert len(first[0]) == len(first[1])
    assert video.loss(lambda x_t, t, said: torch.zeros_like(x_t), first, draws(0)).isfinite()


def test_one_clip_in_nine_stays_easy(few):
    """Of 12 kept clips the first four are of the easy world; three of these are seen no more."""
    kept, scenes = video.training_set(12, generator.USUAL)
    easy = [one.style == "filled" and len(one.bodies) == 1 for one in scenes]
    assert all(easy[:4])
    plan, seen = train.Plan(6000, 16, 1e-3), set()
    for k in range(40):
        clean, *_ = video.batch(plan, draws(video.EASY + k))
        if clean.shape[1:] == kept.shape[1:]:
            seen |= {j for one in clean for j in range(12) if one.equal(kept[j].float())}
    assert seen == set(range(3, 12))


def test_the_text_encoder_is_the_readers_and_learns_no_more():
    network = video.build()
    known = weights.load("reader", reader.build()).text.state_dict()
    assert all(value.equal(known[key]) for key, value in network.text.state_dict().items())
    plan = train.Plan(2, 2, 1e-2, muon=0.02)
    clean, said = torch.randn(2, 8, 2, 8, 8), TOKENISER(["a red 3", "a blue 7"])
    for _ in train.train(network, video.loss, lambda g: (clean, said), plan):
        pass
    assert all(value.equal(known[key]) for key, value in network.text.state_dict().items())
    shipped = recipes.load("video").text.state_dict()
    for key, value in shipped.items():  # weights are kept as whole numbers, 127 for a row's largest
        steps = (value - known[key]).abs() / known[key].abs().amax(-1, keepdim=True) * 127
        assert steps.max() < 0.51, key


def test_latents_are_of_the_scenes_in_their_format_and_nothing_held_out(few):
    at = generator.Format(17, 32, 48)
    kept, scenes = video.training_set(12, at)
    with torch.no_grad():
        real = latents.video_codec().encode(render.video(scenes[:3], 17, 32, 48))
    torch.testing.assert_close(kept[:3].float(), real, atol=5e-3, rtol=5e-3)
    shown = set().union(*(_combinations(video.training_set(12, at)[1]) for at in video.FORMATS))
    assert len(shown) > 50 and not shown & set(held_out.UNSEEN)
    assert not set(video.FORMATS) & set(video.NEVER)


def test_larger_clips_are_of_the_same_scenes_with_as_many_tokens_that_show_the_same(few):
    at = generator.Format(17, 32, 48)
    (kept, scenes), (small, same) = video.training_set(12, at, 64), video.training_set(12, at)
    assert scenes is same and kept.shape[2:] == small.shape[2:] and kept.shape[1] == 12
    with torch.no_grad():
        real = latents.video_codec(64).encode(render.video(scenes[:3], 17, 64, 96))
    torch.testing.assert_close(kept[:3].float(), real, atol=5e-3, rtol=5e-3)
    plan = train.Plan(6000, 4, 1e-3)
    for step in range(video.EASY, video.EASY + 3):
        ours, theirs = (recipe.draw(plan, draws(step)) for recipe in (video.VIDEO_64, video.RECIPE))
        assert ours[0].shape[2:] == theirs[0].shape[2:] and len(ours[0]) == len(theirs[0])
        assert all(one.equal(other) for one, other in zip(ours[1:], theirs[1:], strict=True))


def test_a_larger_clip_is_compared_as_the_small_one_it_would_be():
    scenes = held_out.draw_scenes(20, 3)
    small, large = (clips.features(render.video(scenes, 17, n, n)) for n in (32, 64))
    apart = torch.cdist(large, small)
    assert apart.argmin(1).equal(torch.arange(20)) and apart.diag().mean() < apart.mean() / 4


def test_a_model_of_larger_clips_learns_and_draws_them(few):
    network = video.VIDEO_64.build()
    plan, draw = train.Plan(2, 2, 1e-3), video.VIDEO_64.draw
    grid = 5, 8, 12
    assert network.places(grid).equal(video.RECIPE.build().places(grid)), "in short sides"
    losses = [p.loss for p in train.train(network, video.loss, lambda g: draw(plan, g), plan)]
    assert 1 < losses[0] < 10
    ready = video.generator_of(network, 64)
    assert ready.draw(["a red 3"], steps=1).shape == (1, 3, 17, 64, 64)
    assert ready.draw(["a red 3"], steps=1, shape=generator.Format(1, 64, 96)).shape[3:] == (64, 96)


def test_no_two_formats_share_their_scenes(few):
    firsts = [repr(video.training_set(12, at)[1][0].bodies[0].hand) for at in video.FORMATS]
    assert len(set(firsts)) == len(firsts)


def test_who_knows_the_velocity_has_no_loss():
    clean = torch.randn(6, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    said = TOKENISER(["a red 3"] * 6)

    def knows(x_t, t, tokens):
        assert tokens is said
        return (x_t - clean) / t.view(-1, 1, 1, 1, 1).clamp(min=1e-6)

    draws = torch.Generator().manual_seed(0)
    assert video.loss(knows, (clean, said), draws) < 1e-6
    silent = video.loss(lambda x_t, t, tokens: torch.zeros_like(x_t), (clean, said), draws)
    assert silent.item() == pytest.approx(2, rel=0.05)


def test_what_a_token_shows_is_seen_where_and_when_the_token_is(few):
    """A digit put out of one moment's place changes what is shown there and then, and nowhere far."""
    eye, clip = teacher.teacher(48), render.video(scene.draw_scenes(1, 4))
    before = eye.encode(clip)
    assert before.shape == (1, 48, 5, 4, 4)
    corner = clip[:, :, 6, :8, :8]  # frame 6 stands for frames 5 to 8, latent frame 2
    clip[:, :, 6, :8, :8] = -corner
    moved = (eye.encode(clip) - before).abs().amax((0, 1))
    assert moved[[0, 1, 3, 4]].max() == 0 and moved[2, 0, 0] > 1
    assert moved[2, :2, :2].mean() > 3 * moved[2, 2:, 2:].mean(), "norms carry a little everywhere"
    at = generator.Format(9, 32, 32)
    real = eye.encode(render.video(video.training_set(12, at)[1][:3], 9))
    torch.testing.assert_close(video.shown(12, at)[:3].float(), real, atol=5e-2, rtol=5e-3)


def test_the_directions_kept_hold_most_of_what_the_teacher_sees():
    clips = render.video(scene.draw_scenes(40, 9, scene.FULL))
    few, all_of_it = teacher.teacher(48).encode(clips), teacher.teacher(128).encode(clips)
    ours, whole = (seen.square().sum() for seen in (few, all_of_it))
    assert 0.9 * whole < ours < whole


def test_the_loss_of_who_guesses_is_that_of_the_velocity_and_the_angle():
    draws, shape = torch.Generator().manual_seed(0), (4, 8, 5, 8, 8)
    clean, meant = torch.randn(shape, generator=draws), torch.randn(4, 48, 5, 4, 4, generator=draws)
    said = TOKENISER(["a red 3"] * 4)

    class Guesses:
        sign = 1

        def both(self, x_t, t, tokens):
            return torch.zeros_like(x_t), self.sign * meant.flatten(2).transpose(1, 2)

    def loss(network, *made):
        return video.loss(network, made, torch.Generator().manual_seed(1)).item()

    silent = loss(lambda x_t, t, tokens: torch.zeros_like(x_t), clean, said)
    right = Guesses()
    assert loss(right, clean, meant, said) == pytest.approx(silent, abs=1e-5)
    right.sign = -1
    assert loss(right, clean, meant, said) == pytest.approx(silent + 2 * video.ALIGN, abs=1e-5)


def test_most_noise_levels_are_around_the_middle_and_some_are_high():
    t = video.levels(10_000, torch.Generator().manual_seed(0))
    assert len(t) == 10_000 and 0 <= t.min() and t.max() < 1
    middle, high = ((t > low) & (t < high) for low, high in ((0.25, 0.75), (0.9, 1.0)))
    plain = clips.draw_t(10_000, torch.Generator().manual_seed(1), generator.SHIFT)
    assert middle.float().mean() > 1.1 * ((plain > 0.25) & (plain < 0.75)).float().mean()
    assert high.float().mean() > 1.1 * 0.1, "and more high ones than of levels spread evenly"


def _combinations(scenes) -> set[scene.Subject]:
    return {
        scene.Subject(body.digit, body.colour, body.heading)
        for one in scenes
        for body in one.bodies
    }


def test_in_scenes_of_two_digits_too_only_what_was_asked_for_appears():
    scenes = held_out.draw_scenes(400, 3, world=scene.FULL)
    counts = [len(one.bodies) for one in scenes]
    assert 150 < counts.count(2) < 250 and set(counts) == {1, 2}
    assert _combinations(scenes) <= set(held_out.SEEN) and len(_combinations(scenes)) > 180
    kept_back = held_out.draw_scenes(100, 3, held_out.UNSEEN, scene.FULL)
    assert _combinations(kept_back) == set(held_out.UNSEEN)


@pytest.mark.parametrize("size", [32, 64])
def test_the_score_asks_for_every_format_and_for_the_full_world(monkeypatch, size):
    """Whoever draws what was asked for is right in every row."""
    made = {}

    class Knows:
        def __init__(self, _, size):
            self.usual = generator.USUAL.sized(size)

        def draw(self, sentences, seed=0, shape=None):
            shape = shape or self.usual
            room = render.room_for(shape.height, shape.width)
            asked = [captions.parse(sentence) for sentence in sentences]
            scenes = scene.draw_scenes(len(asked), seed, scene.EASY, room, asked)
            made[shape] = made.get(shape, 0) + len(scenes)
            return render.video(scenes, shape.frames, shape.height, shape.width)

    ask = clips.ask

    def watched(*given, **named):
        scenes, drawn, real = ask(*given, **named)
        assert drawn.shape == real.shape
        return scenes, drawn, real

    monkeypatch.setattr(clips, "ask", watched)
    compared, features = [], clips.features
    few = 8  # of the features, as so few clips cannot be compared in all
    monkeypatch.setattr(
        clips, "features", lambda some: (compared.append(some), features(some)[:, :few])[1]
    )
    monkeypatch.setattr(clips, "FEATURES", few)
    monkeypatch.setattr(video, "generator_of", Knows)
    table = video.score(None, 24, 5, size)
    assert len(compared) == 4 and {some.shape[2:] for some in compared} == {(17, size, size)}
    shapes = {at.sized(size) for at in (*video.FORMATS, *video.NEVER)}
    assert made.keys() == shapes and made[generator.USUAL.sized(size)] == 24 + 6 + 24 + 6 + 6
    shares = (
        "digit",
        "all",
        "full_all_attributes",
        "unseen_full_digit",
        f"at_1x{size}x{size}",
        f"at_25x{size}x{size}",
    )
    assert all(table[key]["ours"] >= 0.83 for key in shares), table
    assert len([key for key in table if key.startswith("at_")]) == len(shapes)
    assert table["full_all_attributes"]["floor"] < 0.3
