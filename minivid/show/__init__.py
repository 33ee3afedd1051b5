"""Looking at clips, and hearing them. `widgets` and `playground` are panels to play with."""

from minivid.show.figures import (
    COLOURS,
    Figure,
    curve,
    figure,
    film_strip,
    grid,
    line_style,
    source,
    table,
    waveform,
)
from minivid.show.media import (
    encode_apng,
    encode_mp4,
    encode_webm,
    encoder,
    holds_sound,
    mosaic,
    pixels,
    play,
    require_size,
    save,
)
