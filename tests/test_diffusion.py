"""The mathematics of diffusion: conversions, exact oracles, limits, and an independent library."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from minivid import diffusion
from minivid.diffusion import DDPM, Cosine, RectifiedFlow

PATHS = [RectifiedFlow(), Cosine(), DDPM()]
LEVELS = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


def _randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_path_leads_from_data_to_noise_and_its_slopes_are_its_derivatives(path):
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, sigma = path.levels(ends)
    assert alpha[0] == 1 and sigma[0] == 0
    assert alpha[1] < 0.007 and sigma[1] > 0.9999
    t = LEVELS + 1e-4  # away from the corners of DDPM's piecewise log alpha
    (up, down), (slope_a, slope_s) = (path.levels(t + 1e-6), path.levels(t - 1e-6)), path.slopes(t)
    torch.testing.assert_close((up[0] - down[0]) / 2e-6, slope_a, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close((up[1] - down[1]) / 2e-6, slope_s, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", [Cosine(), DDPM()], ids=lambda p: type(p).__name__)
def test_variance_is_preserved(path):
    alpha, sigma = path.levels(LEVELS)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(LEVELS))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("predicts", ["clean", "noise", "velocity"])
def test_each_view_tells_the_other_two(path, predicts):
    clean, noise = _randn(25, 4), _randn(25, 4, seed=1)
    x_t = diffusion.mix(path, clean, noise, LEVELS)
    alpha_slope, sigma_slope = (slope[:, None] for slope in path.slopes(LEVELS))
    truth = diffusion.Prediction(clean, noise, alpha_slope * clean + sigma_slope * noise)
    found = diffusion.views(path, predicts, getattr(truth, predicts), x_t, LEVELS)
    for got, true in zip(found, truth, strict=True):
        torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-9)


def test_the_papers_velocities_are_ours():
    """Flow: noise - clean. Cosine: v = alpha noise - sigma clean (Salimans and Ho), times π/2."""
    clean, noise = _randn(25, 4), _randn(25, 4, seed=1)
    x_t = diffusion.mix(RectifiedFlow(), clean, noise, LEVELS)
    flow = diffusion.views(RectifiedFlow(), "clean", clean, x_t, LEVELS).velocity
    torch.testing.assert_close(flow, noise - clean)
    x_t = diffusion.mix(Cosine(), clean, noise, LEVELS)
    arc = diffusion.views(Cosine(), "clean", clean, x_t, LEVELS).velocity
    alpha, sigma = (level[:, None] for level in Cosine().levels(LEVELS))
    torch.testing.assert_close(arc, (alpha * noise - sigma * clean) * math.pi / 2)


# Against diffusers -------------------------------------------------------------------------------


def _in_float64(scheduler):
    """The scheduler with its tables in double precision: 1 - alpha² loses digits near t = 0 in single."""
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    return scheduler


def _one_move(move, path, predicts, output, x_t, now, later, **options):
    def field(x, t):
        return diffusion.views(path, predicts, output, x, t).velocity

    return move(field, path, x_t, now, later, **options)[0]


@pytest.mark.parametrize("timestep", [0, 1, 37, 250, 499, 900, 999])
def test_ancestral_steps_are_diffusers_ddpm(timestep):
    scheduler = _in_float64(DDPMScheduler(1000, beta_schedule="linear", clip_sample=False))
    x_t, noise = _randn(3, 4, 4), _randn(3, 4, 4, seed=1)
    theirs = scheduler.step(
        noise, timestep, x_t, generator=torch.Generator().manual_seed(5)
    ).prev_sample
    ours = _one_move(
        diffusion.ancestral, DDPM(), "noise", noise, x_t, (timestep + 1) / 1000, timestep / 1000,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_steps_are_diffusers_ddim(steps, eta):
    scheduler = _in_float64(DDIMScheduler(1000, beta_schedule="linear", clip_sample=False))
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps[[0, steps // 2, -1]].tolist():
        x_t, noise, fresh = (
            _randn(3, 4, 4),
            _randn(3, 4, 4, seed=1),
            torch.Generator().manual_seed(5),
        )
        drawn = torch.randn(3, 4, 4, generator=fresh, dtype=torch.float64)
        theirs = scheduler.step(noise, timestep, x_t, eta=eta, variance_noise=drawn).prev_sample
        # diffusers steps timestep by timestep: its last one lands on -1, our t = 0.
        now, later = (timestep + 1) / 1000, max(0, timestep + 1 - 1000 // steps) / 1000
        ours = _one_move(
            diffusion.ddim, DDPM(), "noise", noise, x_t, now, later, eta=eta,
            generator=torch.Generator().manual_seed(5),
        )  # fmt: skip
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-5)


def test_flow_steps_are_diffusers_euler():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(8)
    x_t, velocity = _randn(3, 4, 4), _randn(3, 4, 4, seed=1)
    sigmas = scheduler.sigmas.double()
    for step, timestep in enumerate(scheduler.timesteps):
        theirs = scheduler.step(velocity, timestep, x_t).prev_sample
        ours = _one_move(
            diffusion.euler, RectifiedFlow(), "velocity", velocity, x_t,
            sigmas[step].item(), sigmas[step + 1].item(),
        )  # fmt: skip
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-5)
        x_t = theirs.double()


# Against an oracle -------------------------------------------------------------------------------

MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.5], [1.0, -1.5]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
SPREAD = 0.3


def oracle(path):
    """The exact velocity field of a mixture of three round Gaussians, from E[clean | x_t]."""

    def velocity(x_t, t):
        x = x_t.double()
        alpha, sigma = (level.double()[:, None] for level in path.levels(t))
        variance = (alpha * SPREAD) ** 2 + sigma**2
        apart = x[:, None] - alpha[..., None] * MEANS
        logits = WEIGHTS.log() - apart.square().sum(-1) / (2 * variance)
        posterior = MEANS + (alpha * SPREAD**2 / variance)[..., None] * apart
        clean = (logits.softmax(-1)[..., None] * posterior).sum(1)
        return diffusion.views(path, "clean", clean, x, t.double()).velocity.to(x_t)

    return velocity


def _end(path, move, steps, n=8000, seed=0):
    fresh = torch.Generator().manual_seed(seed + 1)
    states = diffusion.sample(
        oracle(path), _randn(n, 2, seed=seed), diffusion.schedule(steps), path, move, fresh
    )
    *_, last = states
    return last.x_t


@pytest.mark.parametrize(
    ("path", "move", "steps"),
    [
        (RectifiedFlow(), diffusion.euler, 200),
        (RectifiedFlow(), diffusion.heun, 40),
        (Cosine(), diffusion.heun, 40),
        (Cosine(), diffusion.ddim, 200),
        (DDPM(), diffusion.ddim, 200),
        (DDPM(), diffusion.ancestral, 1000),
        (RectifiedFlow(), diffusion.ancestral, 400),
    ],
    ids=lambda v: getattr(v, "__name__", type(v).__name__),
)
def test_samples_of_a_known_mixture_have_its_moments(path, move, steps):
    found = _end(path, move, steps)
    mean = WEIGHTS @ MEANS
    centred = MEANS - mean
    covariance = (WEIGHTS[:, None] * centred).T @ centred + SPREAD**2 * torch.eye(2)
    torch.testing.assert_close(found.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.08, rtol=0)
    nearest = torch.cdist(found, MEANS).argmin(1)
    share = torch.bincount(nearest, minlength=3) / len(found)
    torch.testing.assert_close(share.double(), WEIGHTS, atol=0.015, rtol=0)


@pytest.mark.parametrize(("move", "order"), [(diffusion.euler, 1), (diffusion.heun, 2)])
def test_samplers_converge_at_their_order(move, order):
    """Halving the step divides the error by 2 (Euler) and by 4 (Heun)."""
    path = Cosine()
    truth = _end(path, diffusion.heun, 1024, n=500)
    errors = [(_end(path, move, steps, n=500) - truth).abs().mean() for steps in (32, 64, 128)]
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.45)


def test_euler_on_the_straight_path_is_ddim():
    torch.testing.assert_close(
        _end(RectifiedFlow(), diffusion.euler, 20, n=100),
        _end(RectifiedFlow(), diffusion.ddim, 20, n=100),
    )


def test_a_point_of_data_is_reached_in_one_straight_step():
    """With one clean picture in the world, flow's lines are straight: one Euler step is exact."""
    clean = _randn(4, 2)

    def field(x_t, t):
        return diffusion.views(RectifiedFlow(), "clean", clean, x_t, t).velocity

    (only,) = diffusion.sample(field, _randn(4, 2, seed=1), diffusion.schedule(1), RectifiedFlow())
    torch.testing.assert_close(only.x_t, clean)
    torch.testing.assert_close(only.clean, clean)


# Guidance, loss, schedules -----------------------------------------------------------------------


def test_guidance_0_ignores_1_follows_and_more_goes_on_along_the_line():
    asked, unasked = (lambda x, t: x + 1), (lambda x, t: x - 1)
    x, t = _randn(3, 2), torch.ones(3)
    torch.testing.assert_close(diffusion.guided(asked, unasked, 0)(x, t), x - 1)
    torch.testing.assert_close(diffusion.guided(asked, unasked, 1)(x, t), x + 1)
    torch.testing.assert_close(diffusion.guided(asked, unasked, 2)(x, t), x + 3)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_network_that_knows_the_truth_has_no_loss(path):
    clean = torch.full((64, 3), 0.7)

    def knows(x_t, t):
        alpha, sigma = path.levels(t[:, None])
        noise = (x_t - alpha * clean) / sigma
        slope_a, slope_s = path.slopes(t[:, None])
        return slope_a * clean + slope_s * noise

    fresh = torch.Generator().manual_seed(0)
    draw = diffusion.logit_normal
    assert diffusion.loss(knows, clean, fresh, path, "velocity", draw_t=draw) < 1e-6
    wrong = diffusion.loss(
        lambda x, t: knows(x, t) + 0.5, clean, fresh, path, "velocity", draw_t=draw
    )
    assert wrong == pytest.approx(0.25, rel=1e-3)


def test_comparing_in_another_view_only_weighs_levels():
    """On the straight path an error e in clean is an error e / t in velocity."""
    clean = torch.zeros(1000, 1)

    def off_by_one(x_t, t):
        return clean + 1

    def half(n, generator):
        return torch.full((n,), 0.5)

    fresh = torch.Generator().manual_seed(0)
    error = diffusion.loss(off_by_one, clean, fresh, RectifiedFlow(), "clean", "velocity", half)
    assert error == pytest.approx(4.0)


def test_levels_are_drawn_evenly_or_around_the_middle():
    fresh = torch.Generator().manual_seed(0)
    even = diffusion.uniform(1000, fresh).sort().values
    assert (even - (torch.arange(1000) + 0.5) / 1000).abs().max() <= 1e-3
    middle = diffusion.logit_normal(20_000, fresh)
    inner = ((middle > 0.25) & (middle < 0.75)).float().mean()
    assert inner == pytest.approx(math.erf(math.log(3) / math.sqrt(2)), abs=0.01)


def test_what_cannot_be_sampled_says_so():
    with pytest.raises(ValueError, match="at least one"):
        diffusion.schedule(0)
    with pytest.raises(ValueError, match="'clean', 'noise' and 'velocity'"):
        diffusion.views(RectifiedFlow(), "epsilon", torch.zeros(1), torch.zeros(1), torch.ones(1))
    draws = [torch.Generator(), torch.Generator()]
    walk = oracle(Cosine()), _randn(3, 2), diffusion.schedule(2), Cosine(), diffusion.ancestral
    with pytest.raises(ValueError, match="2 generators for 3 samples"):
        list(diffusion.sample(*walk, draws))


def test_the_sampler_can_be_watched_and_ends_at_clean():
    steps = list(
        diffusion.sample(oracle(Cosine()), _randn(50, 2), diffusion.schedule(10), Cosine())
    )
    assert [round(step.t, 6) for step in steps] == [round(1 - k / 10, 6) for k in range(1, 11)]
    away = [torch.cdist(step.clean, MEANS).amin(1).mean() for step in steps]
    assert away[-1] < 0.5 * away[0]


def test_a_shift_keeps_both_ends_and_is_undone_by_its_inverse():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    moved = diffusion.shift(t, 3.0)
    assert moved[0] == 0 and moved[-1] == 1 and (moved.diff() > 0).all()
    torch.testing.assert_close(diffusion.shift(moved, 1 / 3), t)
    assert diffusion.shift(torch.tensor(0.5), 3.0).item() == pytest.approx(0.75)
    times = diffusion.schedule(8, 3.0)
    assert times[0] == 1 and times[-1] == 0
    # the ratio of noise to data is multiplied by the shift, whatever t
    inside = t[1:-1]
    after = diffusion.shift(inside, 3.0)
    torch.testing.assert_close(after / (1 - after), 3 * inside / (1 - inside))
