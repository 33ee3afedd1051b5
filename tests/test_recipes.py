"""Recipes are found in their folder, in the order in which they need each other, and build what ships."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minivid import pipeline, recipes, weights
from minivid.models.codec import VIDEO_CODECS, AudioCodec, VideoCodec
from minivid.models.text_to_video import TextToAudioVideo, TextToVideo
from minivid.models.unet import UNet, UNetConfig, VideoUNet, VideoUNetConfig

FOLDER = Path(recipes.__file__).parent
MADE_UP = """
from minivid.recipes import judge
from minivid.recipes.recipe import Recipe

RECIPE = Recipe(
    what="made up",
    build=judge.RECIPE.build,
    draw_batch=judge.draw_batch,
    loss=judge.loss,
    configs={{"gpu": judge.CONFIG}},
    score=judge.score,
    needs={needs},
)
"""


def _follows_needs(found: dict[str, recipes.Recipe]) -> bool:
    names = list(found)
    return all(set(found[name].needs) <= set(names[:k]) for k, name in enumerate(names))


def test_every_module_with_a_recipe_is_a_model_and_comes_after_those_it_needs():
    modules = {
        path.stem
        for path in FOLDER.glob("*.py")
        if re.search(r"^RECIPE\b", path.read_text(encoding="utf-8"), re.M)
    }
    assert recipes.RECIPES.keys() == modules and len(modules) > 10
    assert _follows_needs(recipes.RECIPES)
    for name, recipe in recipes.RECIPES.items():
        assert recipe is sys.modules[f"minivid.recipes.{name}"].RECIPE
        assert recipe.configs.keys() <= set(recipes.SCALES)
    for at in recipes.SCALES:
        names = recipes.trained_at(at)
        assert names == [name for name in recipes.RECIPES if at in recipes.RECIPES[name].configs]
        assert _follows_needs({name: recipes.RECIPES[name] for name in names})


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Write modules into a folder in which recipes are looked for, too."""
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])
    before = set(sys.modules)

    def write(**needs: tuple[str, ...]):
        for name, names in needs.items():
            (tmp_path / f"{name}.py").write_text(MADE_UP.format(needs=names), encoding="utf-8")
        (tmp_path / "a_helper.py").write_text("X = 1", encoding="utf-8")
        return recipes._found()

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]
        vars(recipes).pop(name.rpartition(".")[2], None)


def test_a_new_file_with_a_recipe_is_a_new_model(made_up):
    found = made_up(a_first=("z_last", "words"), z_last=())
    assert found.keys() - recipes.RECIPES.keys() == {"a_first", "z_last"}
    names = list(found)
    assert names.index("a_first") > max(names.index("z_last"), names.index("words"))
    assert _follows_needs(found)
    rest = {name: recipe for name, recipe in found.items() if name in recipes.RECIPES}
    assert rest == recipes.RECIPES, "the others are what they were"
    assert found["a_first"].what == "made up"


def test_who_asks_for_what_is_not_there_is_told_what_is():
    with pytest.raises(ValueError, match="'a_helper'. There are:.*judge"):
        recipes.recipe("a_helper")
    with pytest.raises(ValueError, match="joint_64 has no configuration.*--scale gpu"):
        recipes.config_of("joint_64", "laptop")


def test_what_is_shipped_is_what_a_laptop_can_train():
    stored = {path.stem for path in weights.folder().glob("*.safetensors")}
    assert set(recipes.shipped()) == stored == {p.stem for p in weights.folder().glob("*.json")}


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_network_is_built_of_no_other_weights_than_those_it_needs(name, tmp_path, monkeypatch):
    stored = weights.folder()
    needed, asked = set(), [name]
    while asked:
        more = recipes.RECIPES[asked.pop()].needs
        needed |= set(more)
        asked += more
    missing = needed - set(recipes.shipped())
    for other in needed - missing:
        for suffix in (".safetensors", ".json"):
            shutil.copy(stored / (other + suffix), tmp_path)
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    for other in missing:
        weights.save(other, recipes.RECIPES[other].build(), {})
    network = recipes.RECIPES[name].build()
    assert any(parameter.requires_grad for parameter in network.parameters())


# Presets -----------------------------------------------------------------------------------------

PRESETS = {
    "video": lambda: TextToVideo(pipeline.video_config()),
    "joint": lambda: TextToAudioVideo(pipeline.joint_config()),
    "pixels": lambda: UNet(UNetConfig(width=64)),
    "clips": lambda: VideoUNet(VideoUNetConfig(width=64, blocks=1)),
    "latents": lambda: VideoUNet(VideoUNetConfig(8, width=32, blocks=1, patch=1, temporal_patch=1)),
    "video_codec": lambda: VideoCodec(VIDEO_CODECS[32]),
    "video_codec_64": lambda: VideoCodec(VIDEO_CODECS[64]),
    "audio_codec": AudioCodec,
}


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _of_later_words(network: torch.nn.Module, name: str) -> int:
    """How many parameters are of words that came after the shipped model of that name was trained."""
    stored = safetensors.torch.load_file(weights.folder() / f"{name}.safetensors")
    return sum(
        module.weight.numel() - stored[f"{key}.weight"].numel()
        for key, module in network.named_modules()
        if key.endswith("token_embedding")
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_as_many_parameters_as_its_card_says(name):
    assert (
        _count(PRESETS[name]()) - _of_later_words(PRESETS[name](), name) == weights.card(name)["parameters"]
    )


@pytest.mark.parametrize("name", recipes.shipped())
def test_a_recipe_builds_a_network_of_as_many_parameters_as_its_card_says(name):
    network, stored = recipes.recipe(name).build(), recipes.load(name)
    assert _count(network) - _of_later_words(network, name) == _count(stored)
    assert _count(stored) == weights.card(name)["parameters"]


@pytest.mark.parametrize("size", VIDEO_CODECS)
def test_models_of_larger_clips_differ_from_those_of_usual_ones_in_their_latents_alone(size):
    channels = VIDEO_CODECS[size].channels
    video, joint = pipeline.video_config(size), pipeline.joint_config(size)
    assert video.channels == joint.channels == channels
    usual = _count(TextToVideo(pipeline.video_config()))
    numbers = 4 * (channels - VIDEO_CODECS[32].channels)  # more in a token, of 2×2 latents
    assert _count(TextToVideo(video)) == usual + numbers * (2 * video.width + 1)
