"""What is given of a clip stands still, and the network is told the noise level of every latent."""

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
    one, two, rest = (torch.zeros(video.shape, dtype=torch.bool) for _ in range(3))
    one[:, :, :1], two[:, :, :2], rest[..., 1:3, :] = True, True, True
    return {
        "first": (condition.first_frames(video), one),
        "two": (condition.first_frames(video, 2), two),
        "region": (condition.region(video, rows), rest),
        "region in each frame": (condition.region(video, rows.expand(3, 5, 6)), rest),
        "all": (condition.all_video(video), torch.ones_like(one)),
        "nothing": (condition.text_only(), torch.zeros_like(one)),
    }


@pytest.mark.parametrize(
    "name", ["first", "two", "region", "region in each frame", "all", "nothing"]
)
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
    assert given.levels(noise, T)[:, 0, :, 0, 0].allclose(
        torch.tensor([[0.2, 0.3, 0.3], [0.2, 0.9, 0.9]])
    )


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


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda video: condition.first_frames(video, 0), "first 0 of 3.*1 to 3"),
        (lambda video: condition.first_frames(video, 4), "first 4 of 3.*1 to 3"),
        (lambda video: condition.region(video, torch.ones(4, 6)), r"\(4, 6\).*\(h, w\)"),
        (
            lambda video: condition.all_video(video[:1]).hold(video, PATH, video),
            r"\(1, 4, 3, 5, 6\) are given, and \(2, 4, 3, 5, 6\) are sampled",
        ),
    ],
)
def test_what_cannot_be_given_is_said_plainly(video, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(video)


@pytest.mark.parametrize("path", [PATH, diffusion.Cosine()], ids=["straight", "cosine"])
@pytest.mark.parametrize(
    "solver", [diffusion.euler, diffusion.heun, diffusion.ddim, diffusion.ancestral]
)
def test_whatever_the_path_and_solver_what_is_given_ends_as_it_was_given(video, path, solver):
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(video.shape, generator=rng)
    for given, mask in _masks(video).values():
        steps = diffusion.sample(
            lambda x_t, t: x_t.tanh(), noise, diffusion.schedule(3), path, solver, rng, given
        )
        x = diffusion.last_step(steps).x_t
        assert x[mask].equal(video[mask]) and not x[~mask].isnan().any()
