"""Latents that are cached: found again for the same codec and scenes, made anew for any other."""

import pytest
import torch

from minivid.models import codec
from minivid.recipes import cache
from minivid.world import random_scenes, render


@pytest.fixture
def network():
    torch.manual_seed(0)
    return codec.VideoCodec(codec.VideoCodecConfig(fine=16, coarse=16)).eval()


@pytest.fixture
def cached(tmp_path):
    """Latents of short clips, and how many clips were rendered for them: one always, to be known by."""

    def of(network, scenes):
        rendered = []

        def make(part):
            rendered.extend(part)
            return render.video(part, 5)

        return cache.latents("test", network, scenes, make, tmp_path, batch_size=4), len(rendered)

    return of


def test_latents_are_the_codecs_and_are_made_once(network, cached, tmp_path):
    scenes = random_scenes.draw_scenes(10, 0)
    made, rendered = cached(network, scenes)
    again, more = cached(network, scenes)
    assert (rendered, more) == (11, 1)
    assert made.dtype == torch.float16 and torch.equal(made, again)
    with torch.no_grad():
        expected = network.encode(render.video(scenes, 5))
    torch.testing.assert_close(made.float(), expected, atol=2e-3, rtol=2e-3)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_codec_or_other_scenes_make_them_anew_and_the_old_ones_go(network, cached, tmp_path):
    scenes = random_scenes.draw_scenes(6, 0)
    first, _ = cached(network, scenes)
    other, rendered = cached(network, random_scenes.draw_scenes(6, 1))
    assert rendered == 7 and not torch.equal(first, other)
    with torch.no_grad():
        network.std[3] *= 2  # a number that is no parameter counts too
    changed, rendered = cached(network, scenes)
    assert rendered == 7 and torch.allclose(changed[:, 3], first[:, 3] / 2, atol=1e-3)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_same_scenes_rendered_otherwise_make_them_anew(network, tmp_path):
    scenes = random_scenes.draw_scenes(3, 0)
    short = cache.latents("test", network, scenes, lambda some: render.video(some, 5), tmp_path)
    longer = cache.latents("test", network, scenes, lambda some: render.video(some, 9), tmp_path)
    assert short.shape[2] == 2 and longer.shape[2] == 3


def test_a_torn_file_is_made_again(network, cached, tmp_path):
    scenes = random_scenes.draw_scenes(4, 0)
    first, _ = cached(network, scenes)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    again, rendered = cached(network, scenes)
    assert rendered == 5 and torch.equal(first, again)


def test_files_of_other_names_stay(network, cached, tmp_path):
    neighbour = tmp_path / "test-of-another-0123456789abcdef.safetensors"
    neighbour.write_bytes(b"")
    cached(network, random_scenes.draw_scenes(2, 0))
    cached(network, random_scenes.draw_scenes(2, 1))
    assert neighbour.exists()
