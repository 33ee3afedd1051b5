"""The autoencoder of clips of 64×64: as many latents as of 32×32."""

from functools import partial

from minivid.recipes import video_codec
from minivid.recipes.recipe import resized

RECIPE = resized(
    video_codec.RECIPE,
    64,
    "a causal autoencoder of clips of 64×64: 4 frames of 8×8 pixels in 12 numbers",
    finish=partial(video_codec.finish, size=64),
)
