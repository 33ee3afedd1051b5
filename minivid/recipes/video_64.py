"""Text to video at 64×64, at scale gpu alone."""

from minivid.recipes import video
from minivid.recipes.recipe import gpu_only, resized

RECIPE = resized(
    video.RECIPE,
    64,
    "a diffusion transformer that turns noise into latents of clips of 64×64",
    configs=gpu_only(video.RECIPE),
    needs=("judge", "words", "features", "video_codec_64", "reader"),
)
