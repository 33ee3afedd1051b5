"""What is given of a clip stands still, and the network is told the noise level of every latent."""

import itertools
import re

import pytest
import torch

from minivid import condition, diffusion
from minivid.condition import Condition, Given

PATH = diffusion.RectifiedFlow()
T = torch.tensor([0.3, 0.9])


def _latents(*size: int) -> torch.Tensor:
    return torch.randn(2, *size, generator=torch.Generator().manual_seed(sum(size)))


@pytest.fixture
def video() -> torch.Tensor:
    return _latents(4, 3, 5, 6)


def _masks(video: torch.Tensor) -> dict[str, tuple[Condition, torch.Tensor]]:
    """Conditions on a clip, and the mask (b, c, f, h, w) that each should have."""
    rows = torch.zeros(5, 6, dtype=torch.bool)
    rows[1:3] = True
    one, two, middle = (torch.zeros(video.shape, dtype=torch.bool) for _ in range(3))
    one[:, :, :1], two[:, :, :2], middle[..., 1:3, :] = True, True, True
    return {
        "first": (condition.first_frames(video), one),
        "two": (condition.first_frames(video, 2), two),
        "region": (condition.region(video, rows), middle),
        "region in each frame": (condition.region(video, rows.expand(3, 5, 6)), middle),
        "all": (condition.all_video(video), torch.ones_like(one)),
        "nothing": (condition.text_only(), torch.zeros_like(one)),
    }


@pytest.mark.parametrize("name", ["first", "two", "region", "region in each frame", "all", "nothing"])
def test_what_is_given_is_in_its_place_at_level_0_and_stands_still(video, name):
    given, mask = _masks(video)[name]
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    held = given.hold(noise, PATH, noise)
    assert held[mask].equal(video[mask]) and held[~mask].equal(noise[~mask])
    levels = given.levels(noise, T)
    if name == "nothing":
        assert levels is T
        levels = T.view(2, 1, 1, 1, 1)
    levels = levels.expand(video.shape)
    assert levels[mask].eq(0).all()
    assert levels[~mask].equal(T.view(2, 1, 1, 1, 1).expand(video.shape)[~mask])
    inputs = []

    def field(x_t, t):
        inputs.append(t)
        return torch.ones_like(x_t)

    velocity = given.field(field)(noise, T)
    assert velocity.equal((~mask).float())
    assert inputs[0].equal(given.levels(noise, T)), "the field is told the level of each latent"


def test_a_little_noise_on_what_is_given_is_the_samples_own(video):
    given = condition.first_frames(video, 1, noise_level=0.2)
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    held = given.hold(noise, PATH, noise)
    expected = 0.8 * video[:, :, :1] + 0.2 * noise[:, :, :1]
    torch.testing.assert_close(held[:, :, :1], expected)
    assert held[:, :, 1:].equal(noise[:, :, 1:])
    assert given.levels(noise, T)[:, 0, :, 0, 0].allclose(torch.tensor([[0.2, 0.3, 0.3], [0.2, 0.9, 0.9]]))


def test_of_a_pair_each_part_is_given_by_itself(video):
    audio = _latents(4, 12)
    state = torch.zeros_like(video), torch.zeros_like(audio)
    for given, k in ((condition.all_video(video), 0), (condition.all_audio(audio), 1)):
        held, levels = given.hold(state, PATH, state), given.levels(state, (T, T))
        assert held[k].equal((video, audio)[k]) and held[1 - k].eq(0).all()
        assert levels[k].eq(0).all() and levels[1 - k] is T
        velocity = given.field(lambda x_t, t: tuple(torch.ones_like(x) for x in x_t))(state, (T, T))
        assert velocity[k].eq(0).all() and velocity[1 - k].eq(1).all()
    mask = torch.arange(12) < 4
    some = Condition(Given(video, torch.ones(1, 1, 1, 1, 1).bool()), Given(audio, mask))
    held = some.hold(state, PATH, state)
    assert held[0].equal(video) and held[1][..., :4].equal(audio[..., :4])
    assert held[1][..., 4:].eq(0).all()


def test_levels_that_differ_already_stay_where_nothing_is_given(video):
    t = torch.rand(2, 1, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    levels = condition.first_frames(video, 1, noise_level=0.1).levels(video, t)
    assert levels.shape == t.shape and levels[:, :, 1:].equal(t[:, :, 1:])
    assert levels[:, :, 0].eq(0.1).all()


# In sampling -------------------------------------------------------------------------------------

SOLVERS = [diffusion.euler, diffusion.heun, diffusion.ddim, diffusion.ancestral]
PATHS = [PATH, diffusion.Cosine()]
FRAMES = torch.arange(3).view(1, 1, 3, 1, 1)
ROWS = torch.arange(5).view(5, 1).expand(5, 6)
NOTHING, ALL = torch.zeros(1, dtype=torch.bool), torch.ones(1, dtype=torch.bool)

# How each is asked for, and what it should give of the video and of the audio.
CONSTRUCTORS = {
    "text_only": (lambda video, audio, level: condition.text_only(), NOTHING, NOTHING),
    "first_frames": (
        lambda video, audio, level: condition.first_frames(video, noise_level=level),
        FRAMES < 1,
        NOTHING,
    ),
    "two first_frames": (
        lambda video, audio, level: condition.first_frames(video, 2, level),
        FRAMES < 2,
        NOTHING,
    ),
    "region": (lambda video, audio, level: condition.region(video, ROWS < 2, level), ROWS < 2, NOTHING),
    "region of some frames": (
        lambda video, audio, level: condition.region(video, (FRAMES > 0)[0, 0] & (ROWS < 2), level),
        (FRAMES > 0) & (ROWS < 2),
        NOTHING,
    ),
    "all_video": (lambda video, audio, level: condition.all_video(video, level), ALL, NOTHING),
    "all_audio": (lambda video, audio, level: condition.all_audio(audio, level), NOTHING, ALL),
}


@pytest.mark.parametrize("noise_level", [0.0, 0.3])
@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_what_is_given_comes_out_as_it_was_and_the_rest_is_sampled(name, solver, path, noise_level):
    construct, *masks = CONSTRUCTORS[name]
    given = _latents(4, 3, 5, 6), _latents(4, 12)
    rng = torch.Generator().manual_seed(7)
    noise = tuple(torch.randn(x.shape, generator=rng) for x in given)
    masks = [mask.expand(x.shape) for mask, x in zip(masks, given, strict=True)]
    alpha, sigma = path.alpha_sigma(torch.tensor(noise_level))
    inputs, levels = [], []

    def field(x_t, t):
        inputs.append(x_t)
        levels.append(t)
        return tuple(1.5 + x.tanh() for x in x_t)

    schedule = diffusion.schedule(4)
    timesteps = schedule, diffusion.time_shift(schedule, 3.0)
    ours = construct(*given, noise_level)
    steps = list(diffusion.sample(field, noise, timesteps, path, solver, rng, ours))
    for k, (mask, latents, own) in enumerate(zip(masks, given, noise, strict=True)):
        last = steps[-1]
        assert last.x_t[k][mask].equal(latents[mask]), "bit for bit"
        assert all(step.clean[k][mask].equal(latents[mask]) for step in steps)
        held = latents if noise_level == 0 else alpha * latents + sigma * own
        states = [*(step.x_t[k] for step in steps[:-1]), *(x_t[k] for x_t in inputs)]
        for x in states:
            torch.testing.assert_close(x[mask], held[mask], rtol=0, atol=1e-6 * bool(noise_level))
        states = [own, *(step.x_t[k] for step in steps)]
        for before, after in itertools.pairwise(states):
            assert after.isfinite().all() and (after != before)[~mask].all()
        t = timesteps[k][:-1].float()
        if solver is diffusion.heun:  # evaluates at the end of each step, too, but for the last
            t = torch.cat([t[:1], t[1:].repeat_interleave(2)])
        assert len(levels) == len(t)
        for level, wanted in zip(levels, t, strict=True):
            level = level[k].reshape(*level[k].shape, *(1,) * (own.ndim - level[k].ndim))
            level = level.expand(own.shape)
            assert (level[mask] == noise_level).all() and (level[~mask] == wanted).all()


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
def test_a_clip_without_sound_is_no_pair(video, solver):
    for name in ("text_only", "first_frames", "region", "all_video"):
        construct, mask, _ = CONSTRUCTORS[name]
        mask = mask.expand(video.shape)
        rng = torch.Generator().manual_seed(0)
        noise = torch.randn(video.shape, generator=rng)
        ours = construct(video, None, 0.0)
        steps = diffusion.sample(
            lambda x_t, t: 1.5 + x_t.tanh(), noise, diffusion.schedule(3), PATH, solver, rng, ours
        )
        x = diffusion.last_step(steps).x_t
        assert x[mask].equal(video[mask]) and (x != noise)[~mask].all()


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
def test_what_is_given_does_not_depend_on_levels_of_the_rest(video, solver):
    """Latent frames that are denoised one after the other, beside one that is given."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(video.shape, generator=rng)
    timesteps = torch.tensor([[1, 1, 1], [0.5, 0.5, 1], [0.2, 0, 0.5], [0, 0, 0]])
    steps = diffusion.sample(
        lambda x_t, t: 1.5 + x_t.tanh(),
        noise,
        timesteps.view(4, 1, 3, 1, 1),
        PATH,
        solver,
        rng,
        condition.first_frames(video),
    )
    for step in steps:
        assert step.x_t[:, :, 0].equal(video[:, :, 0]) and step.x_t.isfinite().all()
    assert (step.x_t != noise)[:, :, 1:].all()


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda video: condition.first_frames(video, 0), "first 0 of 3.*1 to 3"),
        (lambda video: condition.first_frames(video, 4), "first 4 of 3.*1 to 3"),
        (lambda video: condition.region(video, torch.ones(4, 6)), r"\(4, 6\).*\(h, w\)"),
        (lambda video: condition.region(video, torch.ones(2, 5, 6)), r"\(2, 5, 6\).*\(f, h, w\)"),
        (
            lambda video: condition.region(video[:, :, :1], torch.ones(3, 5, 6)),
            r"\(3, 5, 6\) for latents of \(2, 4, 1, 5, 6\)",
        ),
        (
            lambda video: condition.region(video, torch.ones(1, 1, 4, 3, 5, 6)),
            r"\(1, 1, 4, 3, 5, 6\) for latents",
        ),
        (
            lambda video: condition.region(video, torch.ones(2, 4, 3, 5, 6)),
            r"\(2, 4, 3, 5, 6\) for latents.*\(2, 1, 3, 5, 6\)",
        ),
        (lambda video: condition.all_video(video, -0.1), "noise level -0.1"),
        (lambda video: condition.all_video(video, 1.0), "noise level 1.0"),
        (lambda video: condition.all_audio(video).levels(video, T), "sound is given to a silent"),
    ],
)
def test_what_cannot_be_given_is_refused(video, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(video)


@pytest.mark.parametrize("name", ["first_frames", "two first_frames", "region", "all_video", "all_audio"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_latents_of_another_shape_than_what_is_sampled_are_refused(video, name, axis):
    """Other clips than are sampled, other channels, another length."""
    audio = _latents(4, 12)
    state = tuple(torch.cat([x, x], axis) for x in (video, audio))
    construct, video_mask, _ = CONSTRUCTORS[name]
    given = audio if video_mask is NOTHING else video
    steps = diffusion.sample(
        lambda x_t, t: x_t,
        state,
        (diffusion.schedule(2), diffusion.schedule(2)),
        PATH,
        condition=construct(video, audio, 0.0),
    )
    sizes = tuple(given.shape), tuple(torch.cat([given, given], axis).shape)
    message = "{} are given, and {} are sampled".format(*map(str, sizes))
    with pytest.raises(ValueError, match=re.escape(message)):
        next(steps)
