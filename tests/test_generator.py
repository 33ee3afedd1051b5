"""From a sentence to a clip: who is asked what, in which format, and what happens to a wrong word."""

import functools
import re
from dataclasses import replace

import av
import pytest
import torch
from torch import nn

from minivid import codec, diffusion, generator, patches, show, text
from minivid.__main__ import main
from minivid.generator import Format
from minivid.world import captions

TOKENISER = text.Tokeniser(captions.WORDS)
RED, BLUE = "a red 3 moves right", "a blue 7 moves up, the camera pans left"


@pytest.fixture
def small() -> generator.Generator:
    """A generator that has learned nothing, but in which nothing is zero either."""
    torch.manual_seed(0)
    network = generator.TextToVideo(len(TOKENISER.words), width=32, depth=1)
    for parameter in network.dit.parameters():
        nn.init.normal_(parameter, std=0.1)
    return generator.Generator(network, codec.VideoCodec(fine=8, coarse=8), TOKENISER)


@pytest.mark.parametrize("move", [diffusion.heun, diffusion.ancestral])
def test_a_clip_depends_on_its_sentence_and_seed_and_not_on_its_neighbours(small, move):
    draw = functools.partial(small.draw, steps=2, move=move)
    both = draw([RED, BLUE], seed=3)
    torch.testing.assert_close(both[1:], draw([BLUE], seed=4), rtol=1e-4, atol=1e-5)
    assert (both[1:] - draw([RED], seed=4)).abs().max() > 1e-4
    assert (both[1:] - draw([BLUE], seed=5)).abs().max() > 1e-2


def test_noise_that_a_sampler_adds_is_not_that_which_it_began_with(small):
    first, *_ = small.walk([RED], seed=3, steps=2, move=diffusion.ancestral)
    added = first.x_t - (1 - first.t) * first.clean
    together = torch.stack([added, small.noise(1, 3)]).flatten(1).corrcoef()[0, 1]
    assert abs(together) < 0.1


@pytest.mark.parametrize(
    "shape", [Format(1, 32, 32), Format(9, 24, 40), Format(17, 48, 32)], ids=str
)
def test_any_format_the_codec_takes_can_be_asked_for(small, shape):
    video = small.draw([RED], steps=1, shape=shape)
    assert video.shape == (1, 3, shape.frames, shape.height, shape.width)
    assert video.abs().max() <= 1
    states = list(small.walk([RED], steps=3, shape=shape))
    assert [round(step.t, 2) for step in states] == [0.8, 0.5, 0.0]
    torch.testing.assert_close(
        small.decode(states[-1].x_t), small.draw([RED], steps=3, shape=shape)
    )


def test_guidance_0_ignores_the_sentence_and_1_looks_once(small):
    for one, other in ((RED, BLUE), (RED, "")):
        drawn = [small.draw([said], steps=2, guidance=0) for said in (one, other)]
        torch.testing.assert_close(*drawn)
    plain = small.field([RED], 1)
    looks = []
    small.network.register_forward_hook(lambda *_: looks.append(1))
    x_t, t = small.noise(1, 0), torch.ones(1)
    plain(x_t, t)
    assert len(looks) == 1
    asked = plain(x_t, t)
    unasked = small.field([""], 1)(x_t, t)
    torch.testing.assert_close(small.field([RED], 3)(x_t, t), unasked + 3 * (asked - unasked))


def test_each_latent_may_have_a_noise_level_of_its_own(small):
    x_t, tokens = small.noise(2, 0), TOKENISER([RED, BLUE])
    level = torch.tensor([0.3, 0.9])
    with torch.no_grad():
        one = small.network(x_t, level, tokens)
        grid = level[:, None, None, None].expand(2, 5, 8, 8).clone()
        torch.testing.assert_close(small.network(x_t, grid, tokens), one)
        grid[:, 0] = 0  # the first frame is known
        assert (small.network(x_t, grid, tokens) - one).abs().amax((1, 3, 4)).min() > 1e-4


def test_what_follows_a_sentence_changes_nothing(small):
    x_t, t = small.noise(1, 0), torch.ones(1)
    with torch.no_grad():
        padded = small.network(x_t, t, TOKENISER([RED]))
        torch.testing.assert_close(small.network(x_t, t, TOKENISER([RED])[:, :5]), padded)


@pytest.mark.parametrize(
    "ask, said",
    [
        (lambda g: g.draw(["a rde 3 moves right"]), "'rde'.*red"),
        (lambda g: g.draw([RED], shape=Format(16, 32, 32)), "16 frames of 32×32.*1 \\+ 4k"),
        (lambda g: g.draw([RED], shape=Format(17, 36, 32)), "32×36.*multiple of 8"),
        (lambda g: g.draw([RED], shape=Format(-3, 32, 32)), "-3 frames of 32×32.*1 \\+ 4k"),
        (lambda g: g.draw([RED], shape=Format(17, 0, 32)), "32×0.*multiple of 8"),
        (lambda g: g.draw([RED], steps=0), "0 steps"),
        (lambda g: g.network(torch.zeros(1, 8, 5, 9, 8), torch.ones(1), TOKENISER([RED])), "5×9×8"),
    ],
)
def test_what_cannot_be_drawn_is_said_plainly(small, ask, said):
    with pytest.raises(ValueError, match=said):
        ask(small)


def test_the_shipped_model_draws_packed_clips_as_it_does_alone():
    ready = generator.load("video")
    network, said = ready.network, TOKENISER([RED, "a cyan 7 moves up", "a yellow 0 moves left"])
    said, t = said[:, :5], torch.tensor([0.9, 0.6, 0.3])
    formats = [Format(9, 32, 32), Format(1, 32, 48), Format(1, 32, 32)]
    states = [ready.noise(1, seed, shape) for seed, shape in enumerate(formats)]
    packed = patches.pack(
        [patches.patchify(x, network.patch)[0] for x in states],
        [network.places(x.shape[2:]) for x in states],
        96,
    )
    owner = packed.clip.clamp(min=0)
    heard = patches.same_clip(packed.clip, torch.arange(3).repeat_interleave(5)[None])
    heard[..., 0] |= packed.clip < 0
    with torch.no_grad():
        words, whole = network.text(said)
        given = packed.tokens, packed.places, t[owner], words.flatten(0, 1)[None], whole[owner]
        mask = patches.same_clip(packed.clip, packed.clip)
        together = patches.unpack(network.dit(*given, mask, heard), packed.clip)
        mingled = patches.unpack(network.dit(*given, None, heard), packed.clip)
        for k, x in enumerate(states):
            alone = network(x, t[k : k + 1], said[k : k + 1])
            alone = patches.patchify(alone, network.patch)[0]
            torch.testing.assert_close(together[k], alone, rtol=1e-5, atol=1e-5)
            assert (mingled[k] - alone).abs().max() > 1e-2


# Picture and sound -------------------------------------------------------------------------------


@pytest.fixture
def joint(small) -> generator.JointGenerator:
    torch.manual_seed(0)
    network = generator.TextToClip(len(TOKENISER.words), width=32, depth=2)
    for parameter in network.dit.parameters():
        nn.init.normal_(parameter, std=0.1)
    ear = codec.AudioCodec(width=16, blocks=1)
    return generator.JointGenerator(network, small.codec, TOKENISER, ear)


@pytest.mark.parametrize("shape", [Format(1, 32, 32), Format(9, 24, 40)], ids=str)
def test_a_clip_has_a_sound_as_long_as_itself(joint, shape):
    clip = joint.draw([RED, BLUE], steps=1, shape=shape)
    assert clip.video.shape == (2, 3, shape.frames, shape.height, shape.width)
    assert clip.audio.shape == (2, shape.frames * 1024)
    assert max(part.abs().max() for part in clip) <= 1


def test_both_depend_on_sentence_and_seed_and_not_on_neighbours(joint):
    two = joint.draw([RED, BLUE], seed=3, steps=2)
    alone, other, later = (
        joint.draw([said], seed, steps=2) for said, seed in ((BLUE, 4), (RED, 4), (BLUE, 5))
    )
    for part in (0, 1):
        torch.testing.assert_close(two[part][1:], alone[part], rtol=1e-4, atol=1e-5)
        assert (other[part] - alone[part]).abs().max() > 1e-4
        assert (later[part] - alone[part]).abs().max() > 1e-2


def test_a_joint_model_draws_a_picture_from_the_static_of_the_other_model(joint, small):
    picture, sound = joint.apart(joint.noise(2, 7))
    torch.testing.assert_close(picture, small.noise(2, 7), rtol=0, atol=0)
    assert sound.std() > 0.9 and (sound[0] - sound[1]).abs().max() > 1
    assert not sound[0].flatten()[:9].equal(picture[0].flatten()[:9])


def test_the_network_is_told_how_noisy_each_is(joint):
    told = []
    joint.network.register_forward_pre_hook(lambda _, args: told.append(args[1]))
    list(replace(joint, lead=3.0).walk([RED], steps=4, guidance=1))
    picture, sound = (torch.cat(each) for each in zip(*told, strict=True))
    torch.testing.assert_close(picture, diffusion.schedule(4, generator.SHIFT)[:-1].float())
    torch.testing.assert_close(sound, diffusion.shift(picture, 3.0))


@pytest.mark.parametrize("move", [diffusion.euler, diffusion.heun, diffusion.ancestral])
def test_who_knows_both_velocities_arrives_with_both_whatever_the_lead(joint, move):
    """A network that always points at one clip and its sound leads there, and ends there exactly."""
    clean = [torch.randn(x.shape[1:]) for x in joint.apart(joint.noise(1, 0))]

    def knows(x_t, t, tokens):
        each = zip(x_t, t, clean, strict=True)
        return [(x - c) / s.view(-1, *[1] * c.ndim) for x, s, c in each]

    joint.network.forward = knows
    *_, last = joint.walk([RED, BLUE], steps=5, guidance=1, move=move)
    for found, c in zip(joint.apart(last.x_t), clean, strict=True):
        torch.testing.assert_close(found, c.expand(found.shape), atol=1e-4, rtol=1e-4)


def test_guidance_exaggerates_what_is_seen_and_not_what_is_heard(joint):
    x_t = joint.noise(2, 0)
    t = torch.tensor([[0.6], [0.3]]).expand(x_t.shape)
    with torch.no_grad():
        fields = [joint.field([RED, BLUE], scale)(x_t, t) for scale in (0, 1, 4)]
    for k, expected in enumerate((4, 1)):
        none, once, more = (joint.apart(field)[k] for field in fields)
        assert (once - none).abs().max() > 1e-3
        torch.testing.assert_close(more, none + expected * (once - none), atol=1e-4, rtol=1e-4)


def test_flat_states_come_apart_as_they_were_put_together(joint):
    shape = Format(9, 24, 40)
    flat = joint.noise(2, 0, shape)
    picture, sound = joint.apart(flat, shape)
    assert (picture.shape[1:], sound.shape[1:]) == ((8, 3, 6, 10), (16, 36))
    torch.testing.assert_close(torch.cat([picture.flatten(1), sound.flatten(1)], 1), flat)


@pytest.mark.parametrize("move", [diffusion.heun, diffusion.ancestral])
@pytest.mark.parametrize("known", [0, 1], ids=["picture", "sound"])
def test_what_is_given_stays_and_the_other_is_made_for_it(joint, known, move):
    shape, draws = Format(5, 32, 32), torch.Generator().manual_seed(0)
    size, give, made = (
        ((2, 3, 5, 32, 32), joint.watching, 1),
        ((2, 5 * 1024), joint.hearing, 0),
    )[known]
    given, other = (torch.rand(size, generator=draws) - 0.5 for _ in range(2))
    ask = {"sentences": [RED, BLUE], "steps": 3, "shape": shape, "move": move}
    levels = []
    joint.network.register_forward_pre_hook(lambda _, args: levels.append(args[1]))
    states = [joint.apart(step.x_t, shape) for step in give(given).walk(**ask)]
    with torch.no_grad():
        clean = (joint.codec, joint.ear)[known].encode(given)
    for state in states:
        torch.testing.assert_close(state[known], clean, rtol=0, atol=0)
    assert (states[0][made] - states[1][made]).abs().max() > 1e-3
    assert not any(level[known].any() for level in levels), "the network is told that it is clean"
    assert levels[0][made].eq(1).all()
    one, another = give(given).draw(**ask), give(other).draw(**ask)
    assert (one[made] - another[made]).abs().max() > 1e-4
    assert joint.known == (None, None), "the model itself is as before"


@pytest.mark.parametrize(
    "ask, said",
    [
        (
            lambda g: g.watching(torch.zeros(1, 3, 9, 32, 32)).draw([RED], steps=1),
            "picture.*1, 8, 3, 8, 8.*1 clips of 17 frames.*1, 8, 5, 8, 8",
        ),
        (
            lambda g: g.hearing(torch.zeros(2, 17408)).draw([RED], steps=1),
            "sound.*2, 16, 68.*1 clips.*1, 16, 68",
        ),
        (lambda g: g.draw([RED], shape=Format(16, 32, 32)), "16 frames"),
    ],
)
def test_what_cannot_be_made_for_something_is_said_plainly(joint, ask, said):
    with pytest.raises(ValueError, match=said):
        ask(joint)


# The command -------------------------------------------------------------------------------------


def test_the_command_draws_what_the_library_draws(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "load", lambda name: small)
    size = ["--frames", "5", "--height", "24", "--width", "40"]
    ask = ["--seed", "3", "--steps", "2", "--guidance", "2", *size]
    assert main(["sample", RED, BLUE, "--out", str(tmp_path / "some.png"), *ask]) == 0
    drawn = small.draw([RED, BLUE], 3, 2, 2.0, Format(5, 24, 40))
    files = [tmp_path / f"some-{k}.png" for k in (1, 2)]
    assert sorted(tmp_path.iterdir()) == files
    assert [file.read_bytes() for file in files] == [show.encode_apng(clip) for clip in drawn]
    assert (
        "some-2.png: 'a blue 7 moves up, the camera pans left', 5 frames" in capsys.readouterr().out
    )


def test_the_command_writes_a_film_of_one_sentence(small, tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "load", lambda name: small)
    assert main(["sample", RED, "--out", str(tmp_path / "clip.mp4"), "--steps", "1"]) == 0
    with av.open(str(tmp_path / "clip.mp4")) as film:
        seconds, frames = film.duration / 1e6, list(film.decode(video=0))
    assert (len(frames), frames[0].width, round(seconds, 3)) == (17, 256, 17 / 8)


def test_the_command_writes_sound_where_a_file_can_hold_it(joint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generator, "load", lambda name: joint)
    for name, tracks in (("clip.mp4", 1), ("clip.webm", 1), ("clip.png", 0)):
        assert main(["sample", RED, "--out", str(tmp_path / name), "--steps", "1"]) == 0
        with av.open(str(tmp_path / name)) as film:
            assert len(film.streams.audio) == tracks
        assert capsys.readouterr().out.endswith(("silent\n", "with sound\n")[tracks])


@pytest.mark.parametrize("ask, size", [([], "64×64"), (["--width", "32"], "32×64")])
def test_a_model_of_larger_clips_draws_these_unless_told(tmp_path, monkeypatch, capsys, ask, size):
    network = generator.TextToVideo(len(TOKENISER.words), 12, width=32, depth=1)
    eye = codec.VideoCodec(*codec.SIZES[64], fine=8, coarse=8)
    large = generator.Generator(network, eye, TOKENISER)
    monkeypatch.setattr(generator, "load", lambda name: large)
    out = ["--out", str(tmp_path / "clip.png"), "--steps", "1", "--frames", "5"]
    assert main(["sample", RED, *out, "--model", "video_64", *ask]) == 0
    assert f"5 frames of {size}" in capsys.readouterr().out
    assert large.draw([RED], steps=1).shape == (1, 3, 17, 64, 64)


def test_who_wants_a_model_that_is_not_in_the_box_is_told_how_it_is_made(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    for name in ("video_64", "joint_64"):
        assert main(["sample", RED, "--model", name]) == 1
        assert f"make it with `python -m minivid train {name}`" in capsys.readouterr().err
        assert main(["train", name, "--scale", "laptop"]) == 1
        assert f"train {name} --scale gpu`" in capsys.readouterr().err


@pytest.mark.parametrize("ask, name", [([], "joint"), (["--model", "video"], "video")])
def test_the_command_asks_the_model_that_is_named(small, tmp_path, monkeypatch, ask, name):
    asked = []
    monkeypatch.setattr(generator, "load", lambda name: (asked.append(name), small)[1])
    main(["sample", RED, "--out", str(tmp_path / "clip.png"), "--steps", "1", *ask])
    assert asked == [name]


def test_tokens_guess_for_each_latent_of_sound_they_last(joint):
    x_t = torch.randn(2, 8, 3, 8, 8), torch.randn(2, 16, 36)
    given = x_t, (torch.ones(2), torch.ones(2)), TOKENISER([RED, BLUE])
    halfway = []
    joint.network.dit.blocks[0].register_forward_hook(lambda _, args, out: halfway.append(out))
    velocities, (seen, heard) = joint.network.both(*given)
    many = generator.WRITTEN
    assert seen.shape == (2, 48, 16, many) and heard.shape == (2, 18, 2, many)
    x = nn.functional.rms_norm(halfway[0], (32,))
    torch.testing.assert_close(seen.flatten(2), joint.network.listen[0](x[:, :48]))
    torch.testing.assert_close(heard.flatten(2), joint.network.listen[1](x[:, 48:]))
    for one, other in zip(velocities, joint.network(*given), strict=True):
        assert one.equal(other)


def test_an_unknown_generator_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'clips'.*joint, video"):
        generator.load("clips")


@pytest.mark.parametrize(
    "ask, said",
    [
        (["a rde 3 moves right"], "minivid: the word 'rde' in .* nearest: red"),
        ([RED, "--frames", "16"], "minivid: 16 frames of 32×32"),
        ([RED, "--out", "clip.avi"], "minivid: cannot save 'clip.avi'.*mp4"),
    ],
)
def test_the_command_says_plainly_what_it_cannot_draw(small, ask, said, monkeypatch, capsys):
    monkeypatch.setattr(generator, "load", lambda name: small)
    drawn = []
    monkeypatch.setattr(type(small), "decode", lambda *_: drawn.append(1))
    assert main(["sample", *ask]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert not drawn
