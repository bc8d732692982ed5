"""Our sweepers and launchers where Hydra looks for plugins: in the package ``hydra_plugins`` alone."""

from utils.launchers import batched, ray_tasks, slurm
from utils.runs import sweep
from utils.search import sweeper


class Grid(sweep.Grid):
    """``hydra/sweeper=grid``."""


class Optuna(sweeper.Search):
    """``hydra/sweeper=optuna``."""


class Batched(batched.Batched):
    """``hydra/launcher=batched``."""


class Ray(ray_tasks.Ray):
    """``hydra/launcher=ray``."""


class Slurm(slurm.Slurm):
    """``hydra/launcher=submitit_slurm``."""
