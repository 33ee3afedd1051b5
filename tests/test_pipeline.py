"""From a prompt to a clip: what is generated, in which format, from what, and what a wrong word does."""

import re
from dataclasses import replace

import av
import pytest
import torch
from torch import nn

from minivid import condition, diffusion, pipeline, show
from minivid.__main__ import main
from minivid.formats import Format
from minivid.models import patches
from minivid.models.alignment import EVENT_DIM
from minivid.models.codec import VIDEO_CODECS, AudioCodec, AudioCodecConfig, VideoCodec, VideoCodecConfig
from minivid.models.dit import Text
from minivid.models.text_to_video import (
    TextToAudioVideo,
    TextToAudioVideoConfig,
    TextToVideo,
    TextToVideoConfig,
)
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.pipeline import TOKENIZER, Pipeline

RED, BLUE = "a red 3 moves right", "a blue 7 moves up, the camera pans left"
WORDS = len(TOKENIZER.words)
SOLVERS = [diffusion.euler, diffusion.heun, diffusion.ddim, diffusion.ancestral]


def _shaken(network: nn.Module, part: nn.Module | None = None) -> nn.Module:
    """A network that has learned nothing, but in which nothing is zero either."""
    for parameter in (part or network).parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture
def small() -> Pipeline:
    torch.manual_seed(0)
    network = TextToVideo(TextToVideoConfig(WORDS, width=32, depth=1))
    return Pipeline(_shaken(network, network.dit), VideoCodec(VideoCodecConfig(fine=8, coarse=8)))


@pytest.mark.parametrize("solver", [diffusion.heun, diffusion.ancestral])
def test_a_clip_depends_on_its_prompt_and_seed_and_not_on_its_neighbours(small, solver):
    def generate(prompts, seed):
        return small.generate(prompts, seed, num_steps=2, solver=solver).video

    two = generate([RED, BLUE], seed=3)
    torch.testing.assert_close(two[1:], generate([BLUE], seed=4), rtol=1e-4, atol=1e-5)
    assert (two[1:] - generate([RED], seed=4)).abs().max() > 1e-4
    assert (two[1:] - generate([BLUE], seed=5)).abs().max() > 1e-2


def test_noise_that_a_solver_adds_is_not_that_which_it_began_with(small):
    first, *_ = small.steps([RED], seed=3, num_steps=2, solver=diffusion.ancestral)
    added = first.x_t - (1 - first.t) * first.clean
    stacked = torch.stack([added, small.noise(1, 3)]).flatten(1).corrcoef()[0, 1]
    assert abs(stacked) < 0.1


@pytest.mark.parametrize("shape", [Format(1, 32, 32), Format(9, 24, 40), Format(17, 48, 32)], ids=str)
def test_any_format_the_codec_takes_can_be_asked_for(small, shape):
    video = small.generate([RED], num_steps=1, shape=shape).video
    assert video.shape == (1, 3, shape.frames, shape.height, shape.width)
    assert video.abs().max() <= 1
    steps = list(small.steps([RED], num_steps=3, shape=shape))
    assert [round(step.t, 2) for step in steps] == [0.8, 0.5, 0.0]
    generated = small.generate([RED], num_steps=3, shape=shape)
    torch.testing.assert_close(small.decode(steps[-1].x_t).video, generated.video)
    assert generated.audio is None, "a model without an audio codec makes no sound"


def test_guidance_0_ignores_the_prompt_and_1_takes_one_evaluation(small):
    for one, other in ((RED, BLUE), (RED, "")):
        clips = [small.generate([prompt], num_steps=2, guidance=0) for prompt in (one, other)]
        torch.testing.assert_close(*(clip.video for clip in clips))
    plain = small.field([RED], 1)
    evaluations = []
    small.network.register_forward_hook(lambda *_: evaluations.append(1))
    x_t, t = small.noise(1, 0), torch.ones(1)
    plain(x_t, t)
    assert len(evaluations) == 1
    cond = plain(x_t, t)
    uncond = small.field([""], 1)(x_t, t)
    torch.testing.assert_close(small.field([RED], 3)(x_t, t), uncond + 3 * (cond - uncond))


def test_each_latent_may_have_a_noise_level_of_its_own(small):
    x_t, tokens = small.noise(2, 0), TOKENIZER([RED, BLUE])
    level = torch.tensor([0.3, 0.9])
    with torch.no_grad():
        one = small.network(x_t, level, tokens)
        grid = level.view(2, 1, 1, 1, 1).expand(2, 1, 5, 8, 8).clone()
        torch.testing.assert_close(small.network(x_t, grid, tokens), one)
        grid[:, :, 0] = 0  # the first frame is given
        assert (small.network(x_t, grid, tokens) - one).abs().amax((1, 3, 4)).min() > 1e-4
        frames = grid[..., :1, :1]  # one level for each frame broadcasts
        assert small.network(x_t, frames, tokens).equal(small.network(x_t, grid, tokens))


def test_what_follows_a_sentence_changes_nothing(small):
    x_t, t = small.noise(1, 0), torch.ones(1)
    with torch.no_grad():
        padded = small.network(x_t, t, TOKENIZER([RED]))
        torch.testing.assert_close(small.network(x_t, t, TOKENIZER([RED])[:, :5]), padded)


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda p: p.generate(["a rde 3 moves right"]), "'rde'.*red"),
        (lambda p: p.generate([RED], shape=Format(16, 32, 32)), "16 frames of 32×32.*1 \\+ 4k"),
        (lambda p: p.generate([RED], shape=Format(17, 36, 32)), "32×36.*multiple of 8"),
        (lambda p: p.generate([RED], shape=Format(-3, 32, 32)), "-3 frames of 32×32.*1 \\+ 4k"),
        (lambda p: p.generate([RED], shape=Format(17, 0, 32)), "32×0.*multiple of 8"),
        (lambda p: p.generate([RED], num_steps=0), "0 steps"),
        (lambda p: p.network(torch.zeros(1, 8, 5, 9, 8), torch.ones(1), TOKENIZER([RED])), "5×9×8"),
    ],
)
def test_what_cannot_be_generated_is_said_plainly(small, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(small)


def test_the_shipped_model_predicts_for_packed_clips_what_it_does_for_each_alone():
    ready = pipeline.load("video")
    network = ready.network
    tokens = TOKENIZER([RED, "a cyan 7 moves up", "a yellow 0 moves left"])[:, :5]
    t, patch = torch.tensor([0.9, 0.6, 0.3]), network.config.patch
    formats = [Format(9, 32, 32), Format(1, 32, 48), Format(1, 32, 32)]
    states = [ready.noise(1, seed, shape) for seed, shape in enumerate(formats)]
    packed = patches.pack(
        [patches.patchify(x, patch)[0] for x in states], [network.positions(x.shape[2:]) for x in states], 96
    )
    owner = packed.clip_index.clamp(min=0)
    words = torch.arange(3).repeat_interleave(5)[None]
    text_mask = patches.same_clip_mask(packed.clip_index, words)
    text_mask[..., 0] |= packed.clip_index < 0
    with torch.no_grad():
        embeddings, pooled = network.text(tokens)
        text = Text(embeddings.flatten(0, 1)[None], pooled[owner], text_mask)
        given = packed.tokens, t[owner], packed.positions, text
        mask = patches.same_clip_mask(packed.clip_index, packed.clip_index)
        masked = patches.unpack(network.dit(*given, mask), packed.clip_index)
        mingled = patches.unpack(network.dit(*given), packed.clip_index)
        for k, x in enumerate(states):
            alone = network(x, t[k : k + 1], tokens[k : k + 1])
            alone = patches.patchify(alone, patch)[0]
            torch.testing.assert_close(masked[k], alone, rtol=1e-5, atol=1e-5)
            assert (mingled[k] - alone).abs().max() > 1e-2


# In pixels ---------------------------------------------------------------------------------------


@pytest.fixture
def pixels() -> Pipeline:
    torch.manual_seed(0)
    config = VideoUNetConfig(3, width=8, blocks=1, text_dim=4, layers=1)

    def encode_text(prompts):
        return torch.tensor([[float(len(prompt) > 0)] * 4 for prompt in prompts])

    return Pipeline(_shaken(VideoUNet(config)), encode_text=encode_text, predicts="clean", num_steps=2)


def test_without_a_codec_what_is_denoised_is_the_clip(pixels):
    shape = Format(5, 16, 24)
    assert pixels.noise(2, 0, shape).shape == (2, 3, 5, 16, 24)
    steps = list(pixels.steps([RED, BLUE], shape=shape))
    assert len(steps) == 2 and steps[-1].x_t.shape == (2, 3, 5, 16, 24)
    clip = pixels.generate([RED, BLUE], shape=shape)
    assert clip.video.equal(steps[-1].x_t.clamp(-1, 1)) and clip.audio is None
    assert pixels.format == Format(17, 32, 32)
    with pytest.raises(ValueError, match="36×32.*multiple of 8"):
        pixels.generate([RED], shape=Format(5, 32, 36))
    with pytest.raises(ValueError, match="7 frames"):
        pixels.generate([RED], shape=Format(7, 32, 32))


def test_noise_may_be_given_and_then_the_seed_is_that_of_the_solver_alone(pixels):
    noise = pixels.noise(1, 7, Format(5, 16, 16))
    given, drawn = (
        pixels.generate([RED], solver=diffusion.heun, **ask).video
        for ask in ({"noise": noise}, {"seed": 7, "shape": Format(5, 16, 16)})
    )
    assert given.equal(drawn)
    one, other = (
        pixels.generate([RED], seed, solver=diffusion.ancestral, noise=noise).video for seed in (0, 1)
    )
    assert not one.equal(other)


@pytest.mark.parametrize("predicts", ["clean", "noise", "velocity"])
def test_a_pipeline_of_a_network_that_knows_the_clip_leads_there_whatever_it_predicts(predicts):
    path = diffusion.RectifiedFlow()
    clean = torch.rand(1, 3, 5, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5

    class Oracle(VideoUNet):
        def forward(self, x_t, t, pooled_text):
            t = t.view(-1, 1, 1, 1, 1)
            velocity = (x_t - clean) / t
            forms = diffusion.convert_prediction(path, "velocity", velocity, x_t, t)
            return getattr(forms, predicts)

    network = Oracle(VideoUNetConfig(3, width=8, blocks=1, layers=1))
    ready = Pipeline(network, encode_text=pipeline.tokenize, path=path, predicts=predicts)
    video = ready.generate([RED], num_steps=4, shape=Format(5, 8, 8)).video
    torch.testing.assert_close(video, clean, atol=1e-4, rtol=1e-3)


# Picture and sound -------------------------------------------------------------------------------


@pytest.fixture
def joint(small) -> Pipeline:
    torch.manual_seed(0)
    network = TextToAudioVideo(TextToAudioVideoConfig(WORDS, width=32, depth=2))
    audio_codec = AudioCodec(AudioCodecConfig(width=16, blocks=1))
    return Pipeline(_shaken(network, network.dit), small.video_codec, audio_codec)


@pytest.mark.parametrize("shape", [Format(1, 32, 32), Format(9, 24, 40)], ids=str)
def test_a_clip_has_a_sound_as_long_as_itself(joint, shape):
    clip = joint.generate([RED, BLUE], num_steps=1, shape=shape)
    assert clip.video.shape == (2, 3, shape.frames, shape.height, shape.width)
    assert clip.audio.shape == (2, shape.frames * 1024)
    assert max(part.abs().max() for part in clip) <= 1


def test_picture_and_sound_depend_on_prompt_and_seed_and_not_on_neighbours(joint):
    two = joint.generate([RED, BLUE], seed=3, num_steps=2)
    alone, other_prompt, other_seed = (
        joint.generate([prompt], seed, num_steps=2) for prompt, seed in ((BLUE, 4), (RED, 4), (BLUE, 5))
    )
    for part in (0, 1):
        torch.testing.assert_close(two[part][1:], alone[part], rtol=1e-4, atol=1e-5)
        assert (other_prompt[part] - alone[part]).abs().max() > 1e-4
        assert (other_seed[part] - alone[part]).abs().max() > 1e-2


def test_a_model_with_sound_makes_pictures_of_the_noise_of_a_silent_one(joint, small):
    video, audio = joint.noise(2, 7)
    torch.testing.assert_close(video, small.noise(2, 7), rtol=0, atol=0)
    assert audio.std() > 0.9 and (audio[0] - audio[1]).abs().max() > 1
    assert not audio[0].flatten()[:9].equal(video[0].flatten()[:9])


def test_states_are_pairs_in_the_format_that_is_asked_for(joint):
    shape = Format(9, 24, 40)
    video, audio = joint.noise(2, 0, shape)
    assert (video.shape[1:], audio.shape[1:]) == ((8, 3, 6, 10), (16, 36))
    (step,) = joint.steps([RED, BLUE], num_steps=1, shape=shape)
    for state in (step.x_t, step.clean):
        assert [part.shape for part in state] == [video.shape, audio.shape]
    torch.testing.assert_close(joint.decode(step.x_t), joint.generate([RED, BLUE], num_steps=1, shape=shape))


def test_the_network_is_given_the_noise_level_of_each(joint):
    levels = []
    joint.network.register_forward_pre_hook(lambda _, args: levels.append(args[1]))
    list(replace(joint, audio_shift=3.0).steps([RED], num_steps=4, guidance=1))
    video, audio = (torch.cat(each) for each in zip(*levels, strict=True))
    torch.testing.assert_close(video, diffusion.schedule(4, pipeline.SHIFT)[:-1].float())
    torch.testing.assert_close(audio, diffusion.time_shift(video, 3.0))


@pytest.mark.parametrize("solver", [diffusion.euler, diffusion.heun, diffusion.ancestral])
def test_who_knows_both_velocities_arrives_with_both_whatever_the_audio_shift(joint, solver):
    """A network that always points at one clip and its sound leads there, and ends there exactly."""
    clean = [torch.randn(x.shape[1:]) for x in joint.noise(1, 0)]

    def oracle(x_t, t, tokens):
        each = zip(x_t, t, clean, strict=True)
        return tuple((x - c) / level.view(-1, *[1] * c.ndim) for x, level, c in each)

    joint.network.forward = oracle
    last = diffusion.last_step(joint.steps([RED, BLUE], num_steps=5, guidance=1, solver=solver))
    for found, c in zip(last.x_t, clean, strict=True):
        torch.testing.assert_close(found, c.expand(found.shape), atol=1e-4, rtol=1e-4)


def test_guidance_exaggerates_what_is_seen_and_not_what_is_heard(joint):
    x_t, t = joint.noise(2, 0), (torch.tensor([0.6, 0.3]),) * 2
    with torch.no_grad():
        fields = [joint.field([RED, BLUE], scale)(x_t, t) for scale in (0, 1, 4)]
    for k, expected in enumerate((4, 1)):
        uncond, cond, more = (field[k] for field in fields)
        assert (cond - uncond).abs().max() > 1e-3
        torch.testing.assert_close(more, uncond + expected * (cond - uncond), atol=1e-4, rtol=1e-4)


def test_tokens_predict_for_each_latent_of_audio_they_last(joint):
    x_t = torch.randn(2, 8, 3, 8, 8), torch.randn(2, 16, 36)
    given = x_t, (torch.ones(2), torch.ones(2)), TOKENIZER([RED, BLUE])
    middle = []
    joint.network.dit.blocks[0].register_forward_hook(lambda _, args, out: middle.append(out))
    velocities, (video, audio) = joint.network(*given, return_alignment=True)
    assert video.shape == (2, 48, 16, EVENT_DIM) and audio.shape == (2, 18, 2, EVENT_DIM)
    hidden = nn.functional.rms_norm(middle[0], (32,))
    heads = joint.network.event_heads
    torch.testing.assert_close(video.flatten(2), heads[0](hidden[:, :48]))
    torch.testing.assert_close(audio.flatten(2), heads[1](hidden[:, 48:]))
    for one, other in zip(velocities, joint.network(*given), strict=True):
        assert one.equal(other)


# What is given -----------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("given", [0, 1], ids=["video", "audio"])
def test_what_is_given_stays_and_the_other_is_made_for_it(joint, given, solver):
    shape, rng = Format(5, 32, 32), torch.Generator().manual_seed(0)
    size, conditioned_on, made = (
        ((2, 3, 5, 32, 32), joint.video_to_audio, 1),
        ((2, 5 * 1024), joint.audio_to_video, 0),
    )[given]
    clips, others = (torch.rand(size, generator=rng) - 0.5 for _ in range(2))
    ask = {"prompts": [RED, BLUE], "num_steps": 3, "shape": shape, "solver": solver}
    plain, levels = joint.generate(**ask), []
    hook = joint.network.register_forward_pre_hook(lambda _, args: levels.append(args[1]))
    steps = list(joint.steps(**ask, condition=conditioned_on(clips)))
    with torch.no_grad():
        clean = (joint.video_codec, joint.audio_codec)[given].encode(clips)
    for step in steps:
        assert step.x_t[given].equal(clean)
    assert (steps[0].x_t[made] - steps[1].x_t[made]).abs().max() > 1e-3
    assert not any(level[given].any() for level in levels), "the network is told that it is clean"
    assert levels[0][made].eq(1).all()
    hook.remove()
    one, another = (joint.generate(**ask, condition=conditioned_on(x)) for x in (clips, others))
    assert (one[made] - another[made]).abs().max() > 1e-4
    for part, before in zip(joint.generate(**ask), plain, strict=True):
        assert part.equal(before), "without a condition all is as before"


@pytest.mark.parametrize("solver", SOLVERS)
def test_first_frames_stay_as_they_are_given_and_the_rest_follows_from_them(small, solver):
    shape, rng = Format(9, 32, 32), torch.Generator().manual_seed(0)
    clips, others = (
        small.video_codec.encode(torch.rand(2, 3, 9, 32, 32, generator=rng) - 0.5).detach() for _ in range(2)
    )
    others[:, :, 1:] = clips[:, :, 1:]
    ask = {"prompts": [RED, BLUE], "num_steps": 3, "shape": shape, "solver": solver}
    levels = []
    hook = small.network.register_forward_pre_hook(lambda _, args: levels.append(args[1]))
    steps = list(small.steps(**ask, condition=condition.first_frames(clips, 1)))
    hook.remove()
    for step in steps:
        assert step.x_t[:, :, :1].equal(clips[:, :, :1])
        assert (step.x_t[:, :, 1:] - clips[:, :, 1:]).abs().max() > 1e-2
    for level in levels:
        level = level.expand(2, 1, 3, 1, 1)
        assert level[:, :, 0].eq(0).all() and level[:, :, 1:].gt(0).all()
    plain, one, another = (
        small.generate(**ask, condition=given).video
        for given in (None, *(condition.first_frames(x, 1) for x in (clips, others)))
    )
    assert (one[:, :, 1:] - another[:, :, 1:]).abs().max() > 1e-4
    assert (one[:, :, 1:] - plain[:, :, 1:]).abs().max() > 1e-4
    text_only = small.generate(**ask, condition=condition.text_only()).video
    assert text_only.equal(plain), "nothing is given but the prompt"


@pytest.mark.parametrize("solver", SOLVERS)
def test_first_frames_are_given_to_models_with_sound_and_to_those_in_pixels(joint, pixels, solver):
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 8, 2, 8, 8, generator=rng)
    steps = joint.steps(
        [RED], num_steps=2, shape=Format(5, 32, 32), solver=solver, condition=condition.first_frames(latents)
    )
    video, audio = diffusion.last_step(steps).x_t
    assert video[:, :, :1].equal(latents[:, :, :1]) and audio.isfinite().all()
    assert not video[:, :, 1:].equal(latents[:, :, 1:])

    frames = torch.rand(1, 3, 5, 16, 16, generator=rng) - 0.5
    clip = pixels.generate(
        [RED],
        num_steps=2,
        shape=Format(5, 16, 16),
        solver=solver,
        condition=condition.first_frames(frames, 2),
    )
    assert clip.video[:, :, :2].equal(frames[:, :, :2])
    assert not clip.video[:, :, 2:].equal(frames[:, :, 2:])


def test_a_picture_that_is_given_is_not_guided_and_one_of_which_frames_are_given_is(joint):
    """Where the sound alone is made, guidance is that of audio: 1 at most, which takes one evaluation."""
    video, x_t = torch.zeros(1, 3, 17, 32, 32), joint.noise(1, 0)
    evaluations = []
    joint.network.register_forward_hook(lambda *_: evaluations.append(1))
    latents = joint.video_codec.encode(video).detach()
    for given, expected in (
        (joint.video_to_audio(video), 1),
        (condition.first_frames(latents), 2),
        (None, 2),
    ):
        evaluations.clear()
        joint.field([RED], 4.0, given)(x_t, (torch.ones(1), torch.ones(1)))
        assert len(evaluations) == expected


@pytest.mark.parametrize(
    "ask, message",
    [
        (
            lambda p: p.generate(
                [RED], num_steps=1, condition=p.video_to_audio(torch.zeros(1, 3, 9, 32, 32))
            ),
            r"1, 8, 3, 8, 8.*1, 8, 5, 8, 8.*in their format",
        ),
        (
            lambda p: p.generate([RED], num_steps=1, condition=p.audio_to_video(torch.zeros(2, 17408))),
            r"2, 16, 68.*1, 16, 68.*as many clips as are given",
        ),
        (lambda p: p.generate([RED], shape=Format(16, 32, 32)), "16 frames"),
    ],
)
def test_what_cannot_be_made_for_something_is_said_plainly(joint, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(joint)


def test_a_silent_model_makes_no_sound_and_takes_none(joint):
    silent = replace(joint, audio_codec=None)
    for ask in (silent.video_to_audio, silent.audio_to_video):
        with pytest.raises(ValueError, match=r'no sound.*load\("joint"\)'):
            ask(torch.zeros(1, 3, 17, 32, 32))


# The command -------------------------------------------------------------------------------------


def test_the_command_makes_what_the_library_makes(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "load", lambda name: small)
    size = ["--frames", "5", "--height", "24", "--width", "40"]
    ask = ["--seed", "3", "--steps", "2", "--guidance", "2", *size]
    assert main(["sample", RED, BLUE, "--out", str(tmp_path / "some.png"), *ask]) == 0
    generated = small.generate([RED, BLUE], 3, 2, 2.0, Format(5, 24, 40)).video
    files = [tmp_path / f"some-{k}.png" for k in (1, 2)]
    assert sorted(tmp_path.iterdir()) == files
    assert [file.read_bytes() for file in files] == [show.encode_apng(clip) for clip in generated]
    assert "some-2.png: 'a blue 7 moves up, the camera pans left', 5 frames" in capsys.readouterr().out


def test_the_command_writes_a_film_of_one_prompt(small, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "load", lambda name: small)
    assert main(["sample", RED, "--out", str(tmp_path / "clip.mp4"), "--steps", "1"]) == 0
    with av.open(str(tmp_path / "clip.mp4")) as film:
        seconds, frames = film.duration / 1e6, list(film.decode(video=0))
    assert (len(frames), frames[0].width, round(seconds, 3)) == (17, 256, 17 / 8)


def test_the_command_writes_sound_where_a_file_can_hold_it(joint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "load", lambda name: joint)
    for name, tracks in (("clip.mp4", 1), ("clip.webm", 1), ("clip.png", 0)):
        assert main(["sample", RED, "--out", str(tmp_path / name), "--steps", "1"]) == 0
        with av.open(str(tmp_path / name)) as film:
            assert len(film.streams.audio) == tracks
        assert capsys.readouterr().out.endswith(("silent\n", "with sound\n")[tracks])


@pytest.mark.parametrize("ask, size", [([], "64×64"), (["--width", "32"], "32×64")])
def test_a_model_of_larger_clips_makes_these_unless_others_are_asked_for(
    tmp_path, monkeypatch, capsys, ask, size
):
    network = TextToVideo(TextToVideoConfig(WORDS, 12, width=32, depth=1))
    large = Pipeline(network, VideoCodec(replace(VIDEO_CODECS[64], fine=8, coarse=8)))
    monkeypatch.setattr(pipeline, "load", lambda name: large)
    out = ["--out", str(tmp_path / "clip.png"), "--steps", "1", "--frames", "5"]
    assert main(["sample", RED, *out, "--model", "video_64", *ask]) == 0
    assert f"5 frames of {size}" in capsys.readouterr().out
    assert large.generate([RED], num_steps=1).video.shape == (1, 3, 17, 64, 64)


def test_who_wants_a_model_that_is_not_shipped_is_told_how_it_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    for name in ("video_64", "joint_64"):
        assert main(["sample", RED, "--model", name]) == 1
        assert f"ake it with `python -m minivid train {name}`" in capsys.readouterr().err
        assert main(["train", name, "--scale", "laptop"]) == 1
        assert f"train {name} --scale gpu`" in capsys.readouterr().err


@pytest.mark.parametrize("ask, name", [([], "joint"), (["--model", "video"], "video")])
def test_the_command_asks_the_model_that_is_named(small, tmp_path, monkeypatch, ask, name):
    loaded = []
    monkeypatch.setattr(pipeline, "load", lambda name: (loaded.append(name), small)[1])
    main(["sample", RED, "--out", str(tmp_path / "clip.png"), "--steps", "1", *ask])
    assert loaded == [name]


def test_an_unknown_pipeline_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'clips'.*joint, video"):
        pipeline.load("clips")


@pytest.mark.parametrize(
    "ask, message",
    [
        (["a rde 3 moves right"], "minivid: the word 'rde' in .* nearest: red"),
        ([RED, "--frames", "16"], "minivid: 16 frames of 32×32"),
        ([RED, "--out", "clip.avi"], "minivid: cannot save 'clip.avi'.*mp4"),
    ],
)
def test_the_command_says_plainly_what_it_cannot_make(small, ask, message, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "load", lambda name: small)
    decoded = []
    monkeypatch.setattr(type(small), "decode", lambda *_: decoded.append(1))
    assert main(["sample", *ask]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not decoded
