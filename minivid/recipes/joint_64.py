"""Text to video with sound at 64×64, at scale gpu alone."""

from minivid.recipes import joint
from minivid.recipes.recipe import gpu_only, resized

RECIPE = resized(
    joint.RECIPE,
    64,
    "a diffusion transformer that turns noise into clips of 64×64 with their sound",
    configs=gpu_only(joint.RECIPE),
    needs=("judge", "words", "features", "video_64", "audio_codec"),
)
