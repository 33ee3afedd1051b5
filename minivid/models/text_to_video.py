"""From noisy latents and a sentence to a velocity: text encoder, patches and transformer, joined.

Every latent may have a noise level of its own; a token takes the mean of its latents'. Any format will do:
stills, tall, wide and long clips, and, with `TextToAudioVideo`, clips with sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from minivid.formats import AUDIO_LATENTS_PER_FRAME, FRAMES_PER_LATENT
from minivid.models import patches
from minivid.models.alignment import EVENT_DIM, alignment_head
from minivid.models.attention import root_mean_square_norm
from minivid.models.dit import DiT, DiTConfig, Text
from minivid.models.dit_av import DiTAV, DiTAVConfig, Pair
from minivid.models.text import TextEncoder, text_mask


@dataclass(frozen=True)
class TextToVideoConfig:
    """vocab_size: words the text encoder knows; channels, stride: of the codec's latents, in a clip of 32×32;
    patch: latents in a token; width, depth: of the transformer; alignment_dim: numbers in which its tokens
    predict, halfway, what they will show; 0 for none, see `alignment`.
    """

    vocab_size: int
    channels: int = 8
    stride: int = 4
    patch: patches.Patch = (1, 2, 2)
    width: int = 128
    depth: int = 8
    alignment_dim: int = 0

    @property
    def token_dim(self) -> int:
        return self.channels * self.patch[0] * self.patch[1] * self.patch[2]


@dataclass(frozen=True)
class TextToAudioVideoConfig(TextToVideoConfig):
    """audio_channels: of the audio codec's latents; audio_patch: how many of these a token holds;
    shared_feed_forward: whether audio and video use one feed-forward.
    """

    audio_channels: int = 16
    audio_patch: int = 2
    shared_feed_forward: bool = False


class TextToVideo(nn.Module):
    """A text encoder and a transformer. text_encoder: one that is trained already, else a new one."""

    def __init__(self, config: TextToVideoConfig, text_encoder: TextEncoder | None = None):
        super().__init__()
        self.config = config
        self.text = TextEncoder(config.vocab_size) if text_encoder is None else text_encoder
        self.dit = self.build_transformer()
        self.build_heads()

    def build_transformer(self) -> nn.Module:
        config = self.config
        return DiT(DiTConfig(config.token_dim, config.width, config.depth, self.text.width))

    def build_heads(self) -> None:
        """What reads predictions off the hidden states."""
        if self.config.alignment_dim:
            self.alignment_head = alignment_head(self.config.width, self.config.alignment_dim)

    def forward(
        self, x_t: Tensor, t: Tensor, tokens: Tensor, return_alignment: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x_t: (b, c, f, h, w), tokens of the sentence: (b, m) -> velocity (b, c, f, h, w).

        t: (b,), or one for each latent (b, 1, f, h, w), or broadcasting to that. With return_alignment also
        what each token predicts it will show, (b, n, alignment_dim). Raises ValueError where the sides are
        no multiples of the patch's.
        """
        grid, patch = x_t.shape[2:], self.config.patch
        y, hidden = self.dit(
            patches.patchify(x_t, patch),
            token_levels(t, x_t, lambda levels: patches.patchify(levels, patch)),
            self.positions(grid).to(x_t.device),
            self.encode_text(tokens),
            return_hidden=True,
        )
        velocity = patches.unpatchify(y, grid, patch)
        return (velocity, self.alignment_head(hidden)) if return_alignment else velocity

    @property
    def unit(self) -> tuple[int, int]:
        """Of what the height and the width of latents must be multiples."""
        return self.config.patch[1:]

    def encode_text(self, tokens: Tensor) -> Text:
        embeddings, pooled = self.text(tokens)
        return Text(embeddings, pooled[:, None], text_mask(tokens)[:, None])

    def positions(self, grid: Sequence[int]) -> Tensor:
        """Where and when each token of latents (f, h, w) is: (n, 5)."""
        return patches.positions(grid, self.config.patch, self.config.stride)


class TextToAudioVideo(TextToVideo):
    """The same for picture and sound, which are denoised in one list and attend to each other."""

    config: TextToAudioVideoConfig

    def build_transformer(self) -> nn.Module:
        c = self.config
        audio = {
            "audio_token_dim": c.audio_channels * c.audio_patch,
            "shared_feed_forward": c.shared_feed_forward,
        }
        return DiTAV(DiTAVConfig(c.token_dim, c.width, c.depth, self.text.width, **audio))

    def build_heads(self) -> None:
        config = self.config
        latents = config.patch[0] * FRAMES_PER_LATENT * AUDIO_LATENTS_PER_FRAME, config.audio_patch
        self.event_heads = nn.ModuleList(alignment_head(config.width, n * EVENT_DIM) for n in latents)

    def forward(
        self, x_t: Pair, t: Pair, tokens: Tensor, return_alignment: bool = False
    ) -> Pair | tuple[Pair, Pair]:
        """x_t: of video (b, c, f, h, w) and of audio (b, audio_channels, s) -> their velocities.

        t: of each, (b,), or one for each latent, (b, 1, f, h, w) and (b, 1, s), or broadcasting to that. With
        return_alignment also what each token predicts is heard while it lasts, one prediction for each latent
        of audio: of video (b, n, 16, EVENT_DIM), of audio (b, m, audio_patch, EVENT_DIM).
        """
        video, audio = x_t
        grid, patch, audio_patch = video.shape[2:], self.config.patch, self.config.audio_patch
        levels = (
            token_levels(t[0], video, lambda x: patches.patchify(x, patch)),
            token_levels(t[1], audio, lambda x: patches.patchify_audio(x, audio_patch)),
        )
        positions = self.positions(grid), self.audio_positions(audio.shape[2])
        (video, audio), hidden = self.dit(
            (patches.patchify(video, patch), patches.patchify_audio(audio, audio_patch)),
            levels,
            tuple(where.to(audio.device) for where in positions),
            self.encode_text(tokens),
            self.attention_mask(*map(len, positions)),
            return_hidden=True,
        )
        velocity = (patches.unpatchify(video, grid, patch), patches.unpatchify_audio(audio, audio_patch))
        return (velocity, self._events(hidden)) if return_alignment else velocity

    def _events(self, hidden: Pair) -> Pair:
        """The loss compares values, not directions, so hidden states are normalised first."""
        heads = zip(self.event_heads, hidden, strict=True)
        predictions = (head(root_mean_square_norm(x)) for head, x in heads)
        return tuple(one.unflatten(-1, (-1, EVENT_DIM)) for one in predictions)

    def attention_mask(self, n: int, m: int) -> Tensor | None:
        """Which of n tokens of video and m of audio may attend to which: (1, n + m, n + m); None for all."""
        return None

    def audio_positions(self, n: int) -> Tensor:
        """When each token of n latents of audio is: (n / audio_patch, 5)."""
        return patches.audio_positions(n, self.config.audio_patch)


def token_levels(t: Tensor, x_t: Tensor, patchify: Callable[[Tensor], Tensor]) -> Tensor:
    """The noise level of each token: t (b,) -> (b, 1), one for each latent of x_t -> (b, n).

    One level for a whole sample stays one, which costs the transformer less.
    """
    if t[0].numel() == 1:
        return t.reshape(-1, 1)
    return patchify(t.expand(-1, 1, *x_t.shape[2:])).mean(-1)
