"""Plots in space that turn about their upright axis, as a GIF or, where ffmpeg is there, an MP4."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.system import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

DPI = 100
SECONDS = 6.0  # of a turn
COLOURS = 128  # of a GIF: enough for smooth letters; spread evenly, as the marks' are rare
START = -60.0  # degrees, where a still stands


def check(paths: Sequence[Path], frames: Any) -> None:
    """Refuses, before any work, what cannot be written. Raises ValueError."""
    if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= 600:
        raise ValueError(f"frames={frames}: expected a whole number from 2 to 600")
    if any(path.suffix.lower() == ".mp4" for path in paths) and shutil.which("ffmpeg") is None:
        raise ValueError("an .mp4 is written by ffmpeg, which is not installed here; install it, or write a .gif")


def save(figure: "Figure", paths: Sequence[Path], frames: int) -> None:
    """Writes the turning figure to every path, whole or not at all; folders are created."""
    if not paths:
        return
    pictures = list(turn(figure, frames))
    for path in paths:
        atomic.write_bytes(path, WRITERS[path.suffix.lower()](pictures))


def turn(figure: "Figure", frames: int) -> Iterator["Image"]:
    """The figure as seen from all sides, a picture each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    axes: Any = figure.axes[0]
    for angle in START + np.arange(frames) * 360 / frames:
        axes.view_init(elev=axes.elev, azim=angle)
        canvas.draw()
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def gif(pictures: Sequence["Image"]) -> bytes:
    """A GIF that turns for ever; all its pictures have the colours of the first."""
    from PIL.Image import Dither, Quantize

    first = pictures[0].quantize(COLOURS, Quantize.MAXCOVERAGE, dither=Dither.NONE)
    few = [picture.quantize(palette=first, dither=Dither.NONE) for picture in pictures]
    drawn = BytesIO()
    each = 10 * round(100 * SECONDS / len(few))  # a GIF counts in hundredths of a second
    few[0].save(drawn, format="GIF", save_all=True, append_images=few[1:], duration=max(each, 20), loop=0)
    return drawn.getvalue()


def mp4(pictures: Sequence["Image"]) -> bytes:
    """One turn as H.264, which has even sides."""
    from matplotlib.animation import FFMpegFileWriter
    from matplotlib.figure import Figure

    wide, high = pictures[0].width // 2 * 2, pictures[0].height // 2 * 2
    sheet = Figure(figsize=(wide / DPI, high / DPI), dpi=DPI)
    writer = FFMpegFileWriter(
        fps=round(len(pictures) / SECONDS) or 1, codec="libx264", extra_args=["-pix_fmt", "yuv420p"]
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "turn.mp4"
        with writer.saving(sheet, str(path), DPI):
            for picture in pictures:
                sheet.clear()
                sheet.figimage(np.asarray(picture)[:high, :wide])
                writer.grab_frame()
        return path.read_bytes()


WRITERS: dict[str, Callable[[Sequence["Image"]], bytes]] = {".gif": gif, ".mp4": mp4}
SUFFIXES = tuple(WRITERS)
