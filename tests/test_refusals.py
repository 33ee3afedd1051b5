"""What cannot be is refused in words, before work is done, wherever a reader can hand it in."""

import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from minivid import condition, diffusion, files, pipeline, recipes, show, training
from minivid.formats import Format
from minivid.measure import fidelity, listener, stats, sync
from minivid.measure.judge import Judge
from minivid.measure.listener import listen
from minivid.models import patches
from minivid.models.codec import VideoCodec
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.recipes import publish, scorecard, words
from minivid.recipes.clip_reader import SecondJudge
from minivid.training import TrainConfig, checkpoint
from minivid.world import captions, completion, held_out, random_scenes, render, sound
from minivid.world.scene import Body, Scene

NAN, INF = math.nan, math.inf
BODY = Body(3, "red", "right", (0.0, 0.0))
CLIP = torch.zeros(1, 3, 5, 16, 16)
TIMES = torch.tensor([0.1, 0.2])


def scene(**changes) -> Scene:
    return Scene((replace(BODY, **changes),))


@pytest.mark.parametrize(
    "ask, message",
    [
        # worlds
        (lambda: scene(speed=INF), "speed inf: allowed are finite"),
        (lambda: scene(speed=-0.4), "speed -0.4"),
        (lambda: scene(angle=180.0), "angle of 180.*45°"),
        (lambda: scene(height=NAN), "height nan"),
        (lambda: scene(width=1.0, height=0.9), "a 3 of 1.0 in a room of 1.0: it must fit in"),
        (lambda: scene(height=0.0), "a 3 of 0.0"),
        (lambda: scene(start=(NAN, 0.0)), "starts at .nan.*must lie within"),
        (lambda: scene(digit=None), "digit None is unknown"),
        (lambda: scene(digit=True), "digit True is unknown"),
        (lambda: scene(colour=None), "colour None is unknown"),
        (lambda: Scene((BODY,), camera=None), "camera None is unknown"),
        (lambda: scene().hits(INF), "hits of inf seconds"),
        (lambda: random_scenes.World(counts=(3,)), "counts=.3,.*one digit or two"),
        (lambda: held_out.draw_scenes(-1, 0), "-1"),
        (lambda: render.video([]), "0 scenes"),
        (lambda: render.video([scene()], height=0, width=0), "0×0"),
        (lambda: sound.audio([]), "no scenes"),
        (lambda: captions.write(scene().describe(), keep=0.5), "keep=0.5.*rng"),
        (lambda: Format().scaled(48), "size of 48.*multiples of 32"),
        # diffusion
        (lambda: _loss("eps"), "predicts='eps'.*'clean', 'noise'"),
        (lambda: _loss("clean", "v"), "loss_space='v'.*'clean', 'noise'"),
        (lambda: diffusion.schedule(4, 0.0), "shift of 0.0"),
        (lambda: diffusion.schedule(4, NAN), "shift of nan"),
        (lambda: diffusion.NoiseLevels(low=0.8, high=0.2), "low not above high"),
        (lambda: diffusion.NoiseLevels(logit_normal=2.0), "logit_normal=2.0"),
        (lambda: _sample(torch.ones(1)), r"timesteps of \(1,\)"),
        (lambda: _sample(torch.ones(0)), r"timesteps of \(0,\)"),
        (lambda: condition.first_frames(CLIP[0]), r"\(b, c, f, h, w\)"),
        # networks
        (lambda: VideoCodec().encode(CLIP[0]), r"\(3, 5, 16, 16\): this codec takes \(b, 3"),
        (lambda: VideoCodec().encode(CLIP[:, :1]), r"\(1, 1, 5, 16, 16\): this codec"),
        (lambda: patches.patchify(CLIP[0], (1, 2, 2)), r"give \(b, c, f, h, w\)"),
        # measuring
        (lambda: Judge().read(CLIP * NAN), "NaN or infinite"),
        (lambda: Judge().read(CLIP[:0]), r"\(0, 3, 5, 16, 16\)"),
        (lambda: listener.listen(torch.full((1, 8192), NAN)), "NaN or infinite"),
        (lambda: listener.listen(torch.zeros(0, 8192)), r"\(0, 8192\)"),
        (lambda: sync.match_events(TIMES, TIMES, -0.1), "within -0.1"),
        (lambda: sync.match_events(TIMES, TIMES, NAN), "within nan"),
        (lambda: sync.match_events(TIMES, TIMES * NAN, 0.1), "times that are finite"),
        (lambda: stats.f1(*torch.tensor([[1], [2], [1]])), "1 values"),
        (lambda: fidelity.psnr(CLIP, CLIP[..., :8]), r"copies of .*originals of"),
        # showing
        (lambda: show.waveform(torch.zeros(2, 100), [0.5, 0.1]), "1 lists"),
    ],
)
def test_it_is_refused(ask, message):
    with pytest.raises(ValueError, match=message) as told:
        ask()
    assert len(str(told.value)) < 400


def _loss(predicts, loss_space=None):
    rng = torch.Generator()
    path = diffusion.RectifiedFlow()
    return diffusion.loss(lambda x_t, t: x_t, CLIP, rng, path, predicts, loss_space)


def _sample(timesteps):
    return next(diffusion.sample(lambda x, t: x, CLIP, timesteps, diffusion.RectifiedFlow()))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": INF},
        {"learning_rate": NAN},
        {"cooldown": 5.0},
        {"ema": NAN},
        {"ema": -1.0},
        {"max_grad_norm": 0.0},
        {"muon_lr": -1.0},
        {"warmup": -1},
        {"seed": -1},
    ],
    ids=lambda change: "=".join(map(str, *change.items())),
)
def test_a_training_that_cannot_be_does_not_begin(change):
    (name, value), drawn = *change.items(), []
    config = replace(TrainConfig(3, 2, 1e-3), **change)
    steps = training.train(nn.Linear(3, 3), lambda *_: None, drawn.append, config)
    with pytest.raises(ValueError, match=f"{name}={value}: allowed are"):
        next(steps)
    assert not drawn


def test_advice_after_a_loss_that_diverged_can_be_followed(tmp_path):
    path, config = tmp_path / "c.pt", TrainConfig(9, 2, 1e-3)

    def loss(network, batch, rng):
        return network(batch[0]).square().mean() * (NAN if batch[0][0, 0] == 4 else 1)

    def run(config):
        numbers = iter(range(100))
        draw_batch = lambda rng: (torch.full((2, 3), float(next(numbers))),)  # noqa: E731
        return list(training.train(nn.Linear(3, 3), loss, draw_batch, config, path, every=2))

    with pytest.raises(FloatingPointError, match="begin anew, without its checkpoint"):
        run(config)
    assert path.exists()
    path.unlink()
    with pytest.raises(FloatingPointError, match="at step 4"):
        run(replace(config, learning_rate=1e-4))


def test_a_checkpoint_that_another_pytorch_wrote_is_told(tmp_path):
    path = tmp_path / "c.pt"
    files.write(path, (content := b"not what torch.load reads") + _digest(content))
    with pytest.raises(ValueError, match=r"cannot be read by PyTorch 2\..*begin anew"):
        checkpoint.read(path)


def test_an_optimizer_of_another_form_is_told(tmp_path):
    path, config = tmp_path / "c.pt", TrainConfig(4, 2, 1e-3)

    def steps():
        draw_batch = lambda rng: (torch.randn(2, 3, generator=rng),)  # noqa: E731
        loss = lambda network, batch, rng: network(batch[0]).square().mean()  # noqa: E731
        return training.train(nn.Linear(3, 3), loss, draw_batch, config, path, every=1)

    run = steps()
    next(run)
    run.close()
    state = checkpoint.read(path)
    state.pop("minivid")
    checkpoint.write(path, state | {"optimizer": {"0": {"state": {}, "param_groups": []}}})
    with pytest.raises(ValueError, match="another network or optimizer.*begin anew"):
        next(steps())


def _digest(content: bytes) -> bytes:
    return checkpoint.hashlib.sha256(content).digest()


def test_noise_for_other_clips_is_refused():
    network = TextToVideo(TextToVideoConfig(len(pipeline.TOKENIZER.words), width=32, depth=1))
    ready = pipeline.Pipeline(network, VideoCodec())
    one = ready.noise(1, 0)
    for prompts, noise in ((["a red 3", "a blue 7"], one), (["a red 3"], (one, one))):
        with pytest.raises(ValueError, match="noise of sizes.*prompts.*see `Pipeline.noise`"):
            ready.generate(prompts, num_steps=1, noise=noise)


def test_hits_of_a_scene_may_be_marked_as_they_are():
    body = replace(BODY, speed=0.6)
    hits = Scene((body,)).hits(2.0)
    audio = sound.audio([Scene((body,))])
    as_they_are = show.waveform(audio, hits).png()
    assert as_they_are == show.waveform(audio[0], [hit.seconds for hit in hits]).png()
    assert as_they_are == show.waveform(audio, [[hit.seconds for hit in hits]]).png()


def test_a_damaged_card_is_named(tmp_path):
    path = tmp_path / "joint.json"
    for content in ("{", ""):
        path.write_text(content)
        with pytest.raises(ValueError, match="joint.json is damaged"):
            files.read_json(path)


def test_no_completion_is_offered_that_would_be_refused():
    for begun in ("a red 3.", "a red 3", "a red 3 ", "a red 3, the light dims"):
        for whole in completion.completions(begun):
            assert completion.begins(whole.rstrip(" .")), whole


# A shorter vocabulary -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["joint", "video"])
def test_a_word_that_came_after_a_model_is_refused_by_name(name):
    ready = pipeline.load(name)
    known = ready.network.text.token_embedding.num_embeddings
    assert known == 2 + 66, "until it is trained again"
    with pytest.raises(ValueError, match=f"{name} was trained before 'slow motion'"):
        ready.generate(["a red 3 moves right, in slow motion"], num_steps=1)
    with pytest.raises(ValueError, match="before 'seen from above'"):
        ready.generate(["a red 3", "a blue 7, seen from above"], num_steps=1)
    assert ready.generate(["a red 3 moves right"], num_steps=1).video.isfinite().all()


def test_text_encoders_that_came_before_a_word_refuse_it_too():
    with pytest.raises(ValueError, match="`words` was trained before 'follows'"):
        words.encode_prompts(["a red 3, the camera follows the red 3"])


def test_a_model_of_another_world_is_not_scored(monkeypatch):
    recipe = replace(recipes.recipe("reader"), world="directed")
    monkeypatch.setitem(recipes.RECIPES, "reader", recipe)
    with pytest.raises(ValueError, match="trained in the full world, and is scored in the directed"):
        scorecard.require_same_world("reader")


# What a second reader broke ------------------------------------------------------------------------


def test_whole_numbers_are_no_clips_and_no_sounds():
    scenes = random_scenes.draw_scenes(2, 0)
    clips, sounds = render.video(scenes), sound.audio(scenes)
    as_bytes, as_pcm = ((clips + 1) * 127.5).byte(), (sounds * 32767).short()
    ready = pipeline.load("joint")
    for call in (
        lambda: Judge().read(as_bytes),
        lambda: Judge().read_portraits(as_bytes[:, :, 0]),
        lambda: listen(as_pcm),
        lambda: ready.video_to_audio(as_bytes),
        lambda: ready.audio_to_video(as_pcm),
    ):
        with pytest.raises(ValueError, match="give floats in"):
            call()
    for call in (
        lambda: Judge().read_portraits(clips[:, :, 0] * NAN),
        lambda: ready.video_to_audio(clips * NAN),
        lambda: ready.generate(["a 3"], noise=(ready.noise(1, 0)[0] * NAN, ready.noise(1, 0)[1])),
    ):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call()
    assert ready.video_to_audio(clips.double()).video is not None


def test_noise_must_be_of_the_format_that_is_asked_for():
    ready = pipeline.load("joint")
    noise = ready.noise(1, 0)
    with pytest.raises(ValueError, match="33 frames of 48×32"):
        ready.generate(["a 3"], noise=noise, shape=Format(33, 32, 48))
    longer = noise[0], ready.noise(1, 0, Format(33, 32, 32))[1]
    with pytest.raises(ValueError, match="noise of sizes"):
        ready.generate(["a 3"], noise=longer)


def test_a_clip_of_many_hits_is_heard_whole():
    bodies = (Body(3, "red", "right", (0, 0), 1.1), Body(7, "blue", "up", (0, 0), 1.1))
    one = Scene(bodies)
    (heard,) = listen(sound.audio([one], frames=49))
    there = one.hits(49 / 8 - 0.05)
    assert len(there) > 16 and abs(len(heard.digits) - len(there)) <= 2


def test_numbers_of_other_libraries_are_seeds_and_fast_digits_end():
    assert random_scenes.draw_scenes(2, np.int64(3)) == random_scenes.draw_scenes(2, 3)
    with pytest.raises(ValueError, match=r"speed 1000000000000\.0: allowed are 0 to 20"):
        Body(3, "red", "right", (0, 0), 1e12)
    at_the_wall = Scene((Body(3, "red", "right", (0.36, 0), 0.4),))
    assert at_the_wall.hits(0.5)[0].seconds == pytest.approx(0, abs=1e-9)


def test_odd_numbers_of_columns_frames_and_sizes_are_refused():
    clip = render.video(random_scenes.draw_scenes(1, 0), 5)
    for call, match in (
        (lambda: show.film_strip(clip, every=-4), "every=-4"),
        (lambda: show.encode_mp4(clip, fps=0), "fps=0"),
        (lambda: show.encode_mp4(clip, fps=7.5), "fps=7.5"),
        (lambda: show.encode_mp4(clip, scale=1.5), "scale=1.5"),
        (lambda: show.mosaic(clip, columns=-1), "columns=-1"),
        (lambda: show.grid(clip[:, :, 0], columns=-1), "columns=-1"),
        (lambda: show.save(".mp4", clip), "as clip.mp4 does"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "recipe", lambda name: pytest.fail("it began to score"))
    for table in (tmp_path, tmp_path / "file" / "x.json"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(OSError, match="cannot be written"):
            publish.score("reader", 50, 2, tmp_path, table)
    with pytest.raises(ValueError, match="allowed are 0 to 21474"):
        publish.score("reader", 50, 2**31 - 1, tmp_path)


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "a.json", tmp_path / "b.json"
    target.write_text("{}")
    target.chmod(0o600)
    link.symlink_to(target)
    files.write(link, b"[]")
    assert link.is_symlink() and target.read_bytes() == b"[]"
    assert os.name == "nt" or target.stat().st_mode & 0o777 == 0o600
    files.write(tmp_path / ("n" * 240 + ".txt"), b"")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: files.write(target, str(k).encode()), range(40)))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_training_goes_on_in_training_mode_whatever_was_done_in_between():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    modes = []

    def loss(net, batch, rng):
        modes.append(net.training)
        return net(batch[0]).square().mean()

    config = TrainConfig(4, 2, 1e-3)
    for _ in training.train(network, loss, lambda rng: (torch.ones(2, 2),), config):
        network.eval()
    assert modes == [True] * 4


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: scene(width=0.05), "0.05 by 0.42"),
        (lambda: scene(width=0.7), "0.7 by 0.42"),
        (lambda: scene(glyph=()), "give two points"),
        (lambda: scene(glyph=(((0.0, 0.0),),)), "give two points"),
        (lambda: replace(scene(), tracked=7), "tracked=7"),
        (lambda: replace(scene(), camera_path=()), "an empty camera path"),
        (lambda: random_scenes.World(cameras=("track",)), "give directed, a share"),
        (lambda: SecondJudge().read(torch.zeros(1, 3, 5, 32, 48)), "n, n"),
        (lambda: SecondJudge().read(torch.full((1, 3, 5, 32, 32), NAN)), "NaN"),
    ],
)
def test_what_was_accepted_and_ignored_is_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
