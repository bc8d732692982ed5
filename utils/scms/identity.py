"""Which causal model an ``scm`` option and its settings mean, in plain values: what records hold and compare.

Nothing here needs torch, so that whoever only reads records need not wait for it.
"""

from collections.abc import Mapping
from typing import Any, Literal

Reading = Literal["anm", "threshold"]  # of a binary column with parents
# facts of an SCM about such a column: its counterfactuals may leave {0, 1}, or rest on one middle noise
REAL_VALUED, THRESHOLDED = "scm_real_valued_", "scm_thresholded_"


def reading(binary: Reading | None, sampling: str) -> Reading:
    """How binary columns with parents are read: as asked for, else ``anm`` under the published noise, ``threshold``.

    Raises:
        ValueError: another word, or ``threshold`` beside the published noise, which is that of additive equations.
    """
    found = binary or ("anm" if sampling == "published" else "threshold")
    if found not in ("anm", "threshold"):
        raise ValueError(f"scm.binary={binary!r} is not known; choose anm or threshold, or null")
    if found == "threshold" and sampling == "published":
        raise ValueError("scm.sampling=published is noise of additive equations; use scm.binary=anm with it")
    return found


def settled(node: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an ``scm`` option, its reading of binary columns in place of null."""
    if "binary" not in node:
        return dict(node)
    return {**node, "binary": reading(node["binary"], str(node.get("sampling")))}


def read_settings(node: Mapping[str, Any], facts: Mapping[str, float]) -> dict[str, Any]:
    """The settings of an ``scm`` option as far as the data let them matter.

    Where no binary column has parents, as the ``facts`` of the SCM say, both readings are one: it counts as ``anm``.
    """
    read = any(fact.startswith((REAL_VALUED, THRESHOLDED)) for fact in facts)
    return dict(node) if read or "binary" not in node else {**node, "binary": "anm"}
