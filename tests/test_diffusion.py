"""The mathematics of diffusion: conversions, exact oracles, limits, and an independent library."""

import functools
import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

from minivid import diffusion
from minivid.diffusion import DDPM, Cosine, NoiseLevels, RectifiedFlow

PATHS = [RectifiedFlow(), Cosine(), DDPM()]
LEVELS = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


def _randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_path_leads_from_data_to_noise_and_its_derivatives_are_right(path):
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, sigma = path.alpha_sigma(ends)
    assert alpha[0] == 1 and sigma[0] == 0
    assert alpha[1] < 0.007 and sigma[1] > 0.9999
    t = LEVELS + 1e-4  # away from the corners of DDPM's piecewise log alpha
    (up, down), (d_alpha, d_sigma) = (
        (path.alpha_sigma(t + 1e-6), path.alpha_sigma(t - 1e-6)),
        path.derivatives(t),
    )
    torch.testing.assert_close((up[0] - down[0]) / 2e-6, d_alpha, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close((up[1] - down[1]) / 2e-6, d_sigma, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("path", [Cosine(), DDPM()], ids=lambda p: type(p).__name__)
def test_variance_is_preserved(path):
    alpha, sigma = path.alpha_sigma(LEVELS)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(LEVELS))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("predicts", ["clean", "noise", "velocity"])
def test_each_prediction_gives_the_other_two(path, predicts):
    clean, noise = _randn(25, 4), _randn(25, 4, seed=1)
    x_t = diffusion.add_noise(path, clean, noise, LEVELS)
    d_alpha, d_sigma = (slope[:, None] for slope in path.derivatives(LEVELS))
    truth = diffusion.Prediction(clean, noise, d_alpha * clean + d_sigma * noise)
    found = diffusion.convert_prediction(path, predicts, getattr(truth, predicts), x_t, LEVELS)
    for got, true in zip(found, truth, strict=True):
        torch.testing.assert_close(got, true, rtol=1e-9, atol=1e-9)


def test_the_papers_velocities_are_ours():
    """Flow: noise - clean. Cosine: v = alpha noise - sigma clean (Salimans and Ho), times π/2."""
    clean, noise = _randn(25, 4), _randn(25, 4, seed=1)
    x_t = diffusion.add_noise(RectifiedFlow(), clean, noise, LEVELS)
    flow = diffusion.convert_prediction(RectifiedFlow(), "clean", clean, x_t, LEVELS).velocity
    torch.testing.assert_close(flow, noise - clean)
    x_t = diffusion.add_noise(Cosine(), clean, noise, LEVELS)
    arc = diffusion.convert_prediction(Cosine(), "clean", clean, x_t, LEVELS).velocity
    alpha, sigma = (level[:, None] for level in Cosine().alpha_sigma(LEVELS))
    torch.testing.assert_close(arc, (alpha * noise - sigma * clean) * math.pi / 2)


# Against diffusers -------------------------------------------------------------------------------


def _in_float64(scheduler):
    """The scheduler with its tables in double precision: 1 - alpha² loses digits near t = 0 in single."""
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    return scheduler


def _one_step(solver, path, predicts, output, x_t, t, t_next, **options):
    def field(x, t):
        return diffusion.convert_prediction(path, predicts, output, x, t).velocity

    return solver(field, path, x_t, t, t_next, **options)[0]


@pytest.mark.parametrize("timestep", [0, 1, 37, 250, 499, 900, 999])
def test_ancestral_steps_are_diffusers_ddpm(timestep):
    scheduler = _in_float64(DDPMScheduler(1000, beta_schedule="linear", clip_sample=False))
    x_t, noise = _randn(3, 4, 4), _randn(3, 4, 4, seed=1)
    theirs = scheduler.step(noise, timestep, x_t, generator=torch.Generator().manual_seed(5)).prev_sample
    ours = _one_step(
        diffusion.ancestral, DDPM(), "noise", noise, x_t, (timestep + 1) / 1000, timestep / 1000,
        rng=torch.Generator().manual_seed(5),
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_steps_are_diffusers_ddim(steps, eta):
    scheduler = _in_float64(DDIMScheduler(1000, beta_schedule="linear", clip_sample=False))
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps[[0, steps // 2, -1]].tolist():
        x_t, noise, fresh = (_randn(3, 4, 4), _randn(3, 4, 4, seed=1), torch.Generator().manual_seed(5))
        drawn = torch.randn(3, 4, 4, generator=fresh, dtype=torch.float64)
        theirs = scheduler.step(noise, timestep, x_t, eta=eta, variance_noise=drawn).prev_sample
        # diffusers steps timestep by timestep: its last one lands on -1, our t = 0.
        t, t_next = (timestep + 1) / 1000, max(0, timestep + 1 - 1000 // steps) / 1000
        ours = _one_step(
            diffusion.ddim, DDPM(), "noise", noise, x_t, t, t_next, eta=eta,
            rng=torch.Generator().manual_seed(5),
        )  # fmt: skip
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-5, atol=1e-5)


def test_flow_steps_are_diffusers_euler():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(8)
    x_t, velocity = _randn(3, 4, 4), _randn(3, 4, 4, seed=1)
    sigmas = scheduler.sigmas.double()
    for step, timestep in enumerate(scheduler.timesteps):
        theirs = scheduler.step(velocity, timestep, x_t).prev_sample
        ours = _one_step(
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
        alpha, sigma = (level.double()[:, None] for level in path.alpha_sigma(t))
        variance = (alpha * SPREAD) ** 2 + sigma**2
        gap = x[:, None] - alpha[..., None] * MEANS
        logits = WEIGHTS.log() - gap.square().sum(-1) / (2 * variance)
        posterior = MEANS + (alpha * SPREAD**2 / variance)[..., None] * gap
        clean = (logits.softmax(-1)[..., None] * posterior).sum(1)
        return diffusion.convert_prediction(path, "clean", clean, x, t.double()).velocity.to(x_t)

    return velocity


def _end(path, solver, steps, n=8000, seed=0):
    fresh = torch.Generator().manual_seed(seed + 1)
    states = diffusion.sample(
        oracle(path), _randn(n, 2, seed=seed), diffusion.schedule(steps), path, solver, fresh
    )
    return diffusion.last_step(states).x_t


@pytest.mark.parametrize(
    ("path", "solver", "steps"),
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
def test_samples_of_a_known_mixture_have_its_moments(path, solver, steps):
    found = _end(path, solver, steps)
    mean = WEIGHTS @ MEANS
    centred = MEANS - mean
    covariance = (WEIGHTS[:, None] * centred).T @ centred + SPREAD**2 * torch.eye(2)
    torch.testing.assert_close(found.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.08, rtol=0)
    nearest = torch.cdist(found, MEANS).argmin(1)
    proportion = torch.bincount(nearest, minlength=3) / len(found)
    torch.testing.assert_close(proportion.double(), WEIGHTS, atol=0.015, rtol=0)


@pytest.mark.parametrize(("solver", "order"), [(diffusion.euler, 1), (diffusion.heun, 2)])
def test_solvers_converge_at_their_order(solver, order):
    """Halving the step divides the error by 2 (Euler) and by 4 (Heun)."""
    path = Cosine()
    truth = _end(path, diffusion.heun, 1024, n=500)
    errors = [(_end(path, solver, steps, n=500) - truth).abs().mean() for steps in (32, 64, 128)]
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.45)


def test_euler_on_the_straight_path_is_ddim():
    torch.testing.assert_close(
        _end(RectifiedFlow(), diffusion.euler, 20, n=100), _end(RectifiedFlow(), diffusion.ddim, 20, n=100)
    )


def test_a_point_of_data_is_reached_in_one_straight_step():
    """With one clean picture in the world, flow's lines are straight: one Euler step is exact."""
    clean = _randn(4, 2)

    def field(x_t, t):
        return diffusion.convert_prediction(RectifiedFlow(), "clean", clean, x_t, t).velocity

    (only,) = diffusion.sample(field, _randn(4, 2, seed=1), diffusion.schedule(1), RectifiedFlow())
    torch.testing.assert_close(only.x_t, clean)
    torch.testing.assert_close(only.clean, clean)


# Guidance, loss, schedules -----------------------------------------------------------------------


def test_guidance_0_ignores_1_follows_and_more_goes_on_along_the_line():
    cond, uncond = (lambda x, t: x + 1), (lambda x, t: x - 1)
    x, t = _randn(3, 2), torch.ones(3)
    torch.testing.assert_close(diffusion.classifier_free_guidance(cond, uncond, 0)(x, t), x - 1)
    torch.testing.assert_close(diffusion.classifier_free_guidance(cond, uncond, 1)(x, t), x + 1)
    torch.testing.assert_close(diffusion.classifier_free_guidance(cond, uncond, 2)(x, t), x + 3)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_network_that_knows_the_truth_has_no_loss(path):
    clean = torch.full((64, 3), 0.7)

    def knows(x_t, t):
        alpha, sigma = path.alpha_sigma(t[:, None])
        noise = (x_t - alpha * clean) / sigma
        d_alpha, d_sigma = path.derivatives(t[:, None])
        return d_alpha * clean + d_sigma * noise

    fresh = torch.Generator().manual_seed(0)
    levels = NoiseLevels(logit_normal=1.0)
    assert diffusion.loss(knows, clean, fresh, path, "velocity", noise_levels=levels) < 1e-6
    wrong = diffusion.loss(
        lambda x, t: knows(x, t) + 0.5, clean, fresh, path, "velocity", noise_levels=levels
    )
    assert wrong == pytest.approx(0.25, rel=1e-3)


def test_a_loss_in_another_form_only_weighs_levels():
    """On the straight path an error e in clean is an error e / t in velocity."""
    clean = torch.zeros(1000, 1)

    def wrong(x_t, t):
        return clean + 1

    half = NoiseLevels(low=0.5, high=0.5)
    fresh = torch.Generator().manual_seed(0)
    error = diffusion.loss(wrong, clean, fresh, RectifiedFlow(), "clean", "velocity", half)
    assert error == pytest.approx(4.0)


def test_levels_are_drawn_evenly_or_around_the_middle():
    fresh = torch.Generator().manual_seed(0)
    even = NoiseLevels().draw(1000, fresh).sort().values
    assert (even - (torch.arange(1000) + 0.5) / 1000).abs().max() <= 1e-3
    middle = NoiseLevels(logit_normal=1.0).draw(20_000, fresh)
    inner = ((middle > 0.25) & (middle < 0.75)).float().mean()
    assert inner == pytest.approx(math.erf(math.log(3) / math.sqrt(2)), abs=0.01)


def test_what_cannot_be_sampled_says_so():
    with pytest.raises(ValueError, match="at least one"):
        diffusion.schedule(0)
    with pytest.raises(ValueError, match="'clean', 'noise' and 'velocity'"):
        diffusion.convert_prediction(
            RectifiedFlow(), "epsilon", torch.zeros(1), torch.zeros(1), torch.ones(1)
        )
    rngs = [torch.Generator(), torch.Generator()]
    arguments = oracle(Cosine()), _randn(3, 2), diffusion.schedule(2), Cosine(), diffusion.ancestral
    with pytest.raises(ValueError, match="2 generators for 3 samples"):
        list(diffusion.sample(*arguments, rngs))


def test_the_sampler_can_be_watched_and_ends_at_clean():
    steps = list(diffusion.sample(oracle(Cosine()), _randn(50, 2), diffusion.schedule(10), Cosine()))
    assert [round(step.t, 6) for step in steps] == [round(1 - k / 10, 6) for k in range(1, 11)]
    away = [torch.cdist(step.clean, MEANS).amin(1).mean() for step in steps]
    assert away[-1] < 0.5 * away[0]


def test_a_shift_keeps_both_ends_and_is_undone_by_its_inverse():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    moved = diffusion.time_shift(t, 3.0)
    assert moved[0] == 0 and moved[-1] == 1 and (moved.diff() > 0).all()
    torch.testing.assert_close(diffusion.time_shift(moved, 1 / 3), t)
    assert diffusion.time_shift(torch.tensor(0.5), 3.0).item() == pytest.approx(0.75)
    timesteps = diffusion.schedule(8, 3.0)
    assert timesteps[0] == 1 and timesteps[-1] == 0
    # the ratio of noise to data is multiplied by the shift, whatever t
    inside = t[1:-1]
    after = diffusion.time_shift(inside, 3.0)
    torch.testing.assert_close(after / (1 - after), 3 * inside / (1 - inside))


# A level for each part ---------------------------------------------------------------------------

SOLVERS = [diffusion.euler, diffusion.heun, diffusion.ddim, diffusion.ancestral]
# Of three latents: the first is clean from the start, the second moves, the third waits for a step.
TIMESTEPS = torch.tensor(
    [[0.0, 1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.4], [0.0, 0.0, 0.0]], dtype=torch.float64
)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
def test_a_latent_that_is_at_0_stays_as_it_is_whatever_the_field(solver, path):
    start, rng = _randn(4, 2, 3, 1, 1), torch.Generator().manual_seed(0)
    levels, states = [], [start]

    def field(x_t, t):
        levels.append(t)
        return 1 + x_t.sin()

    timesteps = TIMESTEPS.view(-1, 1, 3, 1, 1)
    for step in diffusion.sample(field, start, timesteps, path, solver, rng):
        assert step.x_t.isfinite().all() and step.clean.isfinite().all()
        torch.testing.assert_close(step.x_t[:, :, 0], start[:, :, 0], rtol=1e-12, atol=1e-12)
        states.append(step.x_t)
    assert levels[0].shape == (4, 1, 3, 1, 1) and levels[0][0].equal(timesteps[0])
    moves = torch.stack([(b - a).abs().amax((0, 1, 3, 4)) for a, b in itertools.pairwise(states)])
    assert (moves[:2, 1] > 1e-3).all() and (moves[1:, 2] > 1e-3).all()
    at_0 = TIMESTEPS[:-1] == 0
    assert (moves[at_0] < 1e-12).all(), "one that has arrived stays, too"


@pytest.mark.parametrize(
    ("solver", "path"),
    [
        *((solver, path) for path in PATHS for solver in (diffusion.ddim, diffusion.ancestral)),
        (diffusion.euler, RectifiedFlow()),
        (diffusion.heun, RectifiedFlow()),
    ],
    ids=lambda v: getattr(v, "__name__", type(v).__name__),
)
def test_each_latent_at_its_own_level_arrives_at_the_data(solver, path):
    clean = _randn(4, 3)

    def field(x_t, t):
        return diffusion.convert_prediction(path, "clean", clean, x_t, t).velocity

    start = torch.cat([clean[:, :1], _randn(4, 2, seed=1)], 1)
    rng = torch.Generator().manual_seed(0)
    steps = list(diffusion.sample(field, start, TIMESTEPS, path, solver, rng))
    assert all(step.x_t.isfinite().all() and step.clean.isfinite().all() for step in steps)
    torch.testing.assert_close(steps[-1].x_t, clean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(7, 3), (7, 1, 3, 1)])
def test_timesteps_that_miss_an_axis_of_the_sample_are_refused(size):
    steps = diffusion.sample(
        lambda x_t, t: x_t, _randn(4, 2, 3), torch.ones(size), RectifiedFlow(), diffusion.euler
    )
    with pytest.raises(ValueError, match=r"timesteps of .* for noise of \(4, 2, 3\)"):
        next(steps)


# Pairs of video and audio ------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
def test_a_pair_is_sampled_exactly_as_each_is_alone(solver, path):
    clean = _randn(4, 16), _randn(4, 2, 16, seed=1)
    noise = _randn(4, 16, seed=2), _randn(4, 2, 16, seed=3)
    timesteps = diffusion.schedule(6), diffusion.schedule(6, 3.0)

    def velocity(k, x_t, t):
        prediction = 0.5 * clean[k] + x_t.tanh()
        return diffusion.convert_prediction(path, "clean", prediction, x_t, t).velocity

    def field(x_t, t):
        return tuple(velocity(k, x_t[k], t[k]) for k in (0, 1))

    def rngs():
        return [torch.Generator().manual_seed(k) for k in range(4)]

    pairs = list(diffusion.sample(field, noise, timesteps, path, solver, rngs()))
    # In turns, from the same generators: in each step the fresh noise of video is drawn before audio's.
    shared = rngs()
    trajectories = (
        diffusion.sample(functools.partial(velocity, k), noise[k], timesteps[k], path, solver, shared)
        for k in (0, 1)
    )
    alone = list(zip(*trajectories, strict=True))
    assert len(pairs) == len(alone) == 6
    for pair, ours in zip(pairs, alone, strict=True):
        assert pair.t == tuple(one.t for one in ours)
        for k in (0, 1):
            assert pair.x_t[k].equal(ours[k].x_t) and pair.clean[k].equal(ours[k].clean)


def test_guidance_of_a_pair_has_a_scale_for_each():
    cond, uncond = (lambda x, t: tuple(p + 1 for p in x)), (lambda x, t: tuple(p - 1 for p in x))
    x, t = (_randn(3, 2), _randn(3, 4)), (torch.ones(3), torch.ones(3))
    for scale, wanted in (((2.0, 1.0), (3, 1)), (0.0, (-1, -1)), (2.0, (3, 3))):
        found = diffusion.classifier_free_guidance(cond, uncond, scale)(x, t)
        for velocity, start, offset in zip(found, x, wanted, strict=True):
            torch.testing.assert_close(velocity, start + offset)


@pytest.mark.parametrize(
    ("scale", "evaluations"), [(1.0, "c"), (2.0, "uc"), ((1.0, 1.0), "c"), ((2.0, 1.0), "uc")]
)
def test_at_scale_1_the_empty_prompt_is_not_evaluated(scale, evaluations):
    evaluated = []

    def network(x_t, t, conditioning):
        evaluated.append(conditioning)
        return x_t

    x, t = _randn(3, 2), torch.full((3,), 0.5, dtype=torch.float64)
    if isinstance(scale, tuple):
        x, t = (x, x), (t, t)
    diffusion.guided_field(network, "c", "u", scale, RectifiedFlow(), "velocity")(x, t)
    assert "".join(evaluated) == evaluations


# Noise levels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss_space", ["velocity", "other"])
@pytest.mark.parametrize(("predicts", "end"), [("clean", 0.05), ("noise", 0.95)])
def test_an_error_in_another_form_has_a_bounded_weight(predicts, end, loss_space):
    """An error of 1 in clean counts 1 / t² in velocity: at most 1 / 0.05², not 1 / 0.0001²."""
    other = {"clean": "noise", "noise": "clean"}[predicts]
    loss_space = other if loss_space == "other" else loss_space
    clean, levels = torch.zeros(2000, 1), []

    def network(x_t, t):
        levels.append(t)
        exact = clean if predicts == "clean" else x_t / t[:, None]
        return exact + 1

    crowded = NoiseLevels(shift=1e-4 if predicts == "clean" else 1e4)  # nearly all at the end
    rng = torch.Generator().manual_seed(0)
    error = diffusion.loss(network, clean, rng, RectifiedFlow(), predicts, loss_space, crowded)
    # The other form's error is (1 - t)² or t² as large as that of velocity, at the end 0.95².
    weight = (1 if loss_space == "velocity" else 0.95**2) / 0.05**2
    assert 0.9 * weight < error <= 1.001 * weight
    (t,) = levels
    at_end = (t - end).abs() < 1e-6
    assert at_end.float().mean() > 0.9
    assert ((t > end) | at_end).all() if predicts == "clean" else ((t < end) | at_end).all()


@pytest.mark.parametrize(
    ("predicts", "bounds"), [("clean", (0.05, 1.0)), ("noise", (0.0, 0.95)), ("velocity", (0.0, 1.0))]
)
def test_levels_keep_away_from_that_end_alone_and_only_in_another_form(predicts, bounds):
    def levels(loss_space, distribution):
        drawn, rng = [], torch.Generator().manual_seed(0)

        def network(x_t, t):
            drawn.append(t)
            return x_t

        clean = torch.zeros(2000, 1)
        diffusion.loss(network, clean, rng, RectifiedFlow(), predicts, loss_space, distribution)
        return drawn[0]

    for distribution in (NoiseLevels(shift=1e-2), NoiseLevels(shift=1e2)):
        free = distribution.draw(2000, torch.Generator().manual_seed(0))
        assert min(free.min(), 1 - free.max()) < 1e-3
        for loss_space in (None, "clean", "noise", "velocity"):
            expected = free if loss_space in (None, predicts) else free.clamp(*bounds)
            assert levels(loss_space, distribution).equal(expected)


def test_levels_are_stratified_one_in_each_nth():
    t = NoiseLevels().draw(64, torch.Generator().manual_seed(0))
    assert (64 * t).floor().sort().values.equal(torch.arange(64.0))
    assert not t.equal(t.sort().values), "in random order"


def test_a_shift_moves_the_even_levels_alone():
    rng = torch.Generator().manual_seed(0)
    high = NoiseLevels(shift=3.0).draw(1000, rng)
    torch.testing.assert_close(
        diffusion.time_shift(high, 1 / 3).sort().values, (torch.arange(1000) + 0.5) / 1000, atol=1e-3, rtol=0
    )
    mixed = NoiseLevels(shift=3.0, logit_normal=0.2).draw(1000, rng)
    around_half, shifted = mixed[:200], mixed[200:]
    assert around_half.logit().mean() == pytest.approx(0, abs=0.2)
    assert around_half.logit().std() == pytest.approx(1, abs=0.15)
    torch.testing.assert_close(
        diffusion.time_shift(shifted, 1 / 3).sort().values,
        (torch.arange(800) + 0.5) / 800,
        atol=1.5e-3,
        rtol=0,
    )


def test_no_level_lies_outside():
    inside = NoiseLevels(low=0.2, high=0.7).draw(1000, torch.Generator().manual_seed(0))
    assert inside.min() == pytest.approx(0.2) and inside.max() == pytest.approx(0.7)
    free = NoiseLevels().draw(1000, torch.Generator().manual_seed(0))
    between = (free >= 0.2) & (free <= 0.7)
    assert inside[between].equal(free[between]) and 0 <= free.min() and free.max() < 1
