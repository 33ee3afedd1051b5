"""The package speaks the field's words: the first edition's private ones name nothing any more.

A reader of the code must be able to open a paper, FLUX or diffusers the same evening. Only names that we
define count (classes, functions, arguments, variables, attributes, modules); prose, and other libraries'
names, do not.
"""

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minivid"

# What each was called, and is called now.
FORBIDDEN = {
    # sampling
    "look": "evaluate, read", "looks": "nfe", "calls": "nfe", "walk": "steps", "move": "solver",
    "Move": "Solver", "draws": "rngs", "now": "t", "later": "t_next", "by": "shift",
    "levels_and_slopes": "alpha_sigma, derivatives", "slopes": "derivatives", "mix": "add_noise",
    "views": "convert_prediction", "guess": "prediction", "guesses": "predictions",
    "see": "predict", "compare": "loss_space", "static": "noise", "FLOOR": "MIN_SCALE",
    # conditioning
    "unasked": "uncond", "told": "conditioning", "said": "prompt", "wish": "prompt",
    "wishes": "prompts", "whole": "pooled_text", "heard_words": "text_mask",
    "some_unsaid": "drop_captions", "unsaid": "empty prompt", "UNSAID": "CAPTION_DROPOUT",
    "understand": "encode_prompts", "known_latents": "given", "keeping": "condition",
    "watching": "video_to_audio", "hearing": "audio_to_video", "lead": "audio_shift",
    "LEAD": "AUDIO_SHIFT",
    # networks
    "Look": "Attention", "Think": "SwiGLU", "think": "feed_forward", "wide": "up",
    "narrow": "down", "sharpness": "logit_scale", "six": "modulation", "places": "positions",
    "turns": "rope_angles", "PAIRS": "AXES_PAIRS", "edges": "border", "EDGES": "BORDER_RATES",
    "clock": "absolute_time", "hands": "Fourier features", "HANDS": "TIME_RATES",
    "both": "return_hidden", "halfway": "hidden", "taught": "alignment", "TAUGHT": "ALIGNMENT_DIM",
    "silent": "alignment_stopped", "teacher": "alignment target", "written": "event_roll",
    "transcript": "event_roll", "moment": "temporal patch", "moments": "temporal patches",
    "beat": "audio_patch", "fold": "patch", "unfold": "depth to space",
    "apart": "shared_feed_forward", "Wave": "ResBlock1d", "zeroed": "zero_init",
    "TextToClip": "TextToAudioVideo", "Tokeniser": "Tokenizer",
    # training and files
    "Plan": "TrainConfig", "plan": "config", "plans": "configs", "share": "lr_scale, proportion",
    "parts_of": "micro_batches", "place": "rank_and_world_size",
    "wait": "barrier", "add_up": "all_reduce", "average": "ema", "follow": "update_ema",
    "in_bytes": "int8", "in_the_box": "shipped", "kept": "cached", "KEPT": "DATASET_SIZE",
    "begun": "init_from_video",
    # measuring
    "referee": "load_judge", "late": "onset_error_ms", "sharp_f1": "onset_f1_50ms",
    "off_course": "trajectory_error", "swell": "envelope_correlation", "same_digit": "identity",
    "Seen": "Observation", "Heard": "Transcription",
}  # fmt: skip
# Good words for one thing, in the place where they mean it.
ALLOWED = {
    "world/glyphs.py": {"hands"},  # handwriting
    "world/render.py": {"hands", "FLOOR"},  # the room's
    "__main__.py": {"silent"},  # a clip without sound
    "01_toy_world": {"fold"},  # the formula that mirrors a path at the walls
}


def defined_names(tree: ast.AST) -> set[str]:
    """Names that this code defines: not those it only uses."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.alias) and node.asname:
            found.add(node.asname)
    return found


def private_words(names: set[str], allowed: set[str] = frozenset()) -> dict[str, str]:
    """Those of the names that are private words, with what they should be; a leading _ counts not."""
    return {
        name: FORBIDDEN[name.lstrip("_")]
        for name in sorted(names)
        if name.lstrip("_") in FORBIDDEN and name.lstrip("_") not in allowed
    }


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_module_defines_no_private_word(path):
    name = path.relative_to(PACKAGE).as_posix()
    names = defined_names(ast.parse(path.read_text(encoding="utf-8"))) | {path.stem}
    assert private_words(names, ALLOWED.get(name, set())) == {}


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/**/*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_defines_no_private_word(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names = {name for source in code for name in defined_names(ast.parse(source))}
    assert private_words(names, ALLOWED.get(path.stem, set())) == {}


@pytest.mark.parametrize(
    "source",
    [
        "class Look: ...",
        "def walk(): ...",
        "def f(told): ...",
        "plan = 1",
        "self.six = 1",
        "for kept in []: ...",
        "import torch as teacher",
        "def _swell(): ...",
    ],
)
def test_a_private_word_is_caught(source):
    assert len(private_words(defined_names(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source", ["torch.distributed.wait()", "'look, static'", "x = clock.walk", "# plan", "outlook = 1"]
)
def test_another_librarys_name_and_prose_are_not(source):
    assert private_words(defined_names(ast.parse(source))) == {}
