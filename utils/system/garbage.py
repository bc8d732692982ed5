"""Python's search for objects that refer to each other and to which nothing else does."""

import gc

NEW = 10_000  # objects that come in between; 700 of Python 3.11


def collect_seldom() -> None:
    """Lets a command look less often: what it imports and composes is there to stay, and looking takes a sixth of it.

    Whoever imports this package into a program of their own keeps their setting.
    """
    gc.set_threshold(NEW, *gc.get_threshold()[1:])
