"""Draw the metrics of every trained model against each other, from the database alone.

``python -m evals.plot dataset=loan [kind=frontier] x=accuracy y=uai_0.05 [where="..."] [out=a.png,a.svg]``; kinds,
options and defaults stand in ``config/plot.yaml``. A mark is the mean over the seeds of one setting. Efficient
settings, their hypervolume and what a policy chooses are listed on standard output.
"""

import sys

from omegaconf import DictConfig

from evals.plots import axis, moving, style
from evals.plots.kinds import KINDS, OPTIONS, check
from evals.records import query
from utils.system.console import write

__all__ = ["KINDS", "OPTIONS", "check", "plot"]


def plot(options: DictConfig) -> None:
    """Reads the database, draws, writes, and prints what was written."""
    kind = check(options)
    records = query.read(str(options.dataset))
    if kind.axes or kind.metrics:
        options = axis.fill_axes(records, options, kind.axes, kind.metrics)
    named = "_".join(str(options[key]) for key in kind.named)
    paths = style.targets(options.out, f"{options.dataset}_{named}", kind.formats)
    moving.check(paths, options.frames)
    drawn = kind.draw(records, options)
    moving.save(drawn.figure, [path for path in paths if path.suffix.lower() in moving.SUFFIXES], options.frames)
    style.save(drawn.figure, [path for path in paths if path.suffix.lower() in style.SUFFIXES])
    write(drawn.text)
    write("".join(f"{path}\n" for path in paths))


if __name__ == "__main__":
    sys.exit(query.command(plot, OPTIONS, sys.argv[1:]))
