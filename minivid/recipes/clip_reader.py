"""The network of the second judge, which learned all that it knows.

A network over frames finds each colour's digit; a transformer over time reads what moves and how; another
network names the digit in windows cut out of the picture.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from minivid.formats import frame_times, require_values
from minivid.models.attention import TimeEmbedding, TransformerLayer
from minivid.world import scene

SIZE, GRID, WINDOW = 64, 16, 28  # pixels of a frame, cells of its map, pixels of a window around a digit
COLOURS, HEADINGS = tuple(scene.COLOURS), tuple(scene.HEADINGS)
ANSWERS = {"heading": HEADINGS, "hums": (False, True), "followed": (False, True), "camera": scene.CAMERAS,
           "light": scene.LIGHTS, "style": scene.STYLES, "slow_motion": (False, True)}  # fmt: skip
OF_A_DIGIT = ("heading", "hums", "followed")  # the other answers are those of the whole clip


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, size, stride, size // 2)
    return nn.Sequential(conv, nn.GroupNorm(8, outputs), nn.SiLU())


class SecondJudge(nn.Module):
    """Square clips (b, 3, f, h, w) to logits, see `forward`."""

    def __init__(self, width: int = 128):
        super().__init__()
        self.frames = nn.Sequential(_conv(3, 24, 5, 2), _conv(24, 48, 3, 2), _conv(48, 48))
        self.where = nn.Conv2d(48, len(COLOURS), 1)
        self.there = nn.Linear(1, 1)
        self.summary = nn.Sequential(_conv(48, 32, 3, 2), nn.Flatten(), nn.Linear(32 * 64, width))
        self.token, self.time = nn.Linear(width + 48 + 2, width), TimeEmbedding(width)
        self.layers = nn.ModuleList(TransformerLayer(width, 4) for _ in range(2))
        self.answers = nn.ModuleDict({key: nn.Linear(width, len(a)) for key, a in ANSWERS.items()})
        self.stem, self.colour = _conv(3, 32), nn.Embedding(len(COLOURS), 32)
        self.digit = nn.Sequential(
            nn.MaxPool2d(2), _conv(32, 64), nn.MaxPool2d(2), _conv(64, 96), nn.Flatten(),
            nn.Linear(96 * (WINDOW // 4) ** 2, 11),
        )  # fmt: skip

    def find(self, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of features (b, f, 48, y, x), logits of where each colour is (b, f, colours, y x), and of
        whether it is there at all (b, colours)."""
        maps = self.frames(rearrange(video, "b c f h w -> (b f) c h w")).unflatten(0, (len(video), -1))
        where = self.where(maps.flatten(0, 1)).flatten(2).unflatten(0, maps.shape[:2])
        return maps, where, self.there(where.amax(-1).mean(1)[..., None])[..., 0]

    def forward(
        self, found, video: Tensor, clips: Tensor, colours: Tensor, some: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Logits of every answer for n digits, (n, ·) each, given their clips and colours (n,).

        some: the frames in which the digit is read.
        """
        maps, where, _ = found
        heat = where[clips, :, colours].float().softmax(-1).unflatten(-1, (GRID, GRID))
        cells = _middles(GRID, heat.device)
        at = torch.stack([heat.sum(2) @ cells, heat.sum(3) @ cells], -1)  # (n, f, 2) in [-1, 1]
        local = torch.einsum("nfyx,nfcyx->nfc", heat, maps[clips].float())
        summary = self.summary(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])[clips]
        x = self.token(torch.cat([summary, local, at], -1)) + self.time(
            frame_times(at.shape[1]).float().to(at.device)
        )
        for layer in self.layers:
            x = layer(x)
        logits = {key: head(x.mean(1)).float() for key, head in self.answers.items()}
        axis = _middles(WINDOW, at.device) * WINDOW / SIZE
        at = at[:, some]
        grid = at[:, :, None, None] + torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        frames = rearrange(video[:, :, some], "b c f h w -> b f c h w")[clips]
        windows = grid_sample(frames.flatten(0, 1), grid.flatten(0, 1), align_corners=False)
        tint = repeat(self.colour(colours), "n c -> (n f) c 1 1", f=at.shape[1])
        named = self.digit(self.stem(windows) + tint).float().unflatten(0, at.shape[:2])
        digits, trust = named[..., :10].log_softmax(-1), named[..., 10:].softmax(1)
        return logits | {"digit": (digits * trust).sum(1)}

    @torch.no_grad()
    def read(self, video: Tensor) -> list[scene.Description]:
        """What is in each clip, as the first judge would say it.

        Raises ValueError for what are no square clips (b, 3, f, h, w) of finite floats, f = 1 + 4k.
        """
        if video.ndim != 5 or video.shape[1] != 3 or not len(video) or video.shape[3] != video.shape[4]:
            raise ValueError(f"clips of shape {tuple(video.shape)}: the second judge reads (b, 3, f, n, n).")
        video = resized(require_values(video, "a clip"))
        found = self.find(video)
        top = found[2].topk(2, 1)
        rows = [(i, k) for i in range(len(video)) for k in range(2) if k == 0 or top.values[i, k] > 0]
        clips = torch.tensor([i for i, _ in rows], device=video.device)
        colours = torch.stack([top.indices[i, k] for i, k in rows])
        logits = self(found, video, clips, colours)
        descriptions = []
        for clip in range(len(video)):
            own = (clips == clip).nonzero()[:, 0].tolist()
            words = {key: ANSWERS[key][int(logits[key][own].mean(0).argmax())] for key in ANSWERS
                     if key not in OF_A_DIGIT}  # fmt: skip
            tracked = max(own, key=lambda k: logits["followed"][k].diff().item())
            subjects = tuple(
                scene.Subject(int(logits["digit"][k].argmax()), COLOURS[colours[k]],
                              *(ANSWERS[key][int(logits[key][k].argmax())] for key in ("heading", "hums")),
                              words["camera"] == "track" and k == tracked)
                for k in own
            )  # fmt: skip
            descriptions.append(scene.Description(subjects, **words))
        return descriptions


def _middles(n: int, device: torch.device) -> Tensor:
    """Where the middles of n cells are, from -1 to 1."""
    return (torch.arange(n, device=device) + 0.5) / n * 2 - 1


def resized(video: Tensor) -> Tensor:
    """Clips of SIZE×SIZE pixels."""
    return interpolate(video.float(), (video.shape[2], SIZE, SIZE), mode="trilinear")
