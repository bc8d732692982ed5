"""The facts that say how far a fitted causal model is to be believed: their names in a record, and what they mean.

Nothing here needs torch, so that whoever only reads records need not wait for it.
"""

from collections.abc import Mapping, Sequence

LEVEL = 0.01  # of a family of tests, after Holm (1979)
FAR = 0.99  # the share of held-out rows that are nearer to a training row than a twin off support
R2, LOSS, SHARES = "scm_r2_", "scm_log_loss_", "scm_log_loss_of_shares_"
REFERENCE_R2, REFERENCE_LOSS = "scm_r2_of_reference_", "scm_log_loss_of_reference_"
DENSITY, ADDITIVE_DENSITY = "scm_log_density_", "scm_log_density_of_additive_"
DEPENDENCE = "scm_dependence_p_"
INDEPENDENCES, REFUTED, OFF_SUPPORT = "scm_independences", "scm_refuted_p_", "scm_twins_off_support"
HEAD = ("measure", "none", "this", "trees", "p")  # of ``row_of``
LEGEND = (
    "none: the mean, or the shares of the levels, which know no parents; this: the equation; trees: boosted trees on "
    "the same parents. R2: higher is better; log-loss (nats): lower is better. p: that what is left over is "
    f"independent of the parents (HSIC; doubtful below {LEVEL})."
)
HIDDEN = "A hidden confounder, a common cause that no column holds, cannot be seen from data."

Facts = Mapping[str, float | None]


def names_of(facts: Facts) -> list[str]:
    """The names of the equations that were tested."""
    return [key.removeprefix(DEPENDENCE) for key in facts if key.startswith(DEPENDENCE)]


def row_of(facts: Facts, name: str) -> list[str]:
    """The figures of an equation as texts, in the order of HEAD."""
    additive = f"{R2}{name}" in facts
    own, reference = (R2, REFERENCE_R2) if additive else (LOSS, REFERENCE_LOSS)
    none = 0.0 if additive else facts.get(f"{SHARES}{name}")
    figures = [none, facts.get(f"{own}{name}"), facts.get(f"{reference}{name}")]
    p = facts.get(f"{DEPENDENCE}{name}")
    shown = ["-" if value is None else f"{value:.3f}" for value in figures]
    return ["R2" if additive else "log-loss", *shown, "-" if p is None else f"{p:.2g}"]


def describe_flows(facts: Facts) -> str:
    """A sentence on the densities of flows; empty where there are none."""
    additive = {k.removeprefix(ADDITIVE_DENSITY): value for k, value in facts.items() if k.startswith(ADDITIVE_DENSITY)}
    pairs = [(name, facts.get(f"{DENSITY}{name}"), value) for name, value in additive.items()]
    listed = "; ".join(f"{name} {a:.3f} beside {b:.3f}" for name, a, b in pairs if a is not None and b is not None)
    return listed and f"Log density of flows on held-out rows, beside the same mean with additive noise: {listed}."


def share_explained(facts: Facts, name: str, *, reference: bool = False) -> float | None:
    """The share of the variance, or of the log-loss of the shares, that an equation takes away; None: not known."""
    if f"{R2}{name}" in facts:
        return facts.get(f"{REFERENCE_R2 if reference else R2}{name}")
    loss, shares = facts.get(f"{REFERENCE_LOSS if reference else LOSS}{name}"), facts.get(f"{SHARES}{name}")
    return None if loss is None or not shares else 1 - loss / shares


def dependent(names: Sequence[str], facts: Facts) -> list[str]:
    """The equations whose residuals depend on the parents, after Holm."""
    ordered = sorted((p, name) for name in names if (p := facts.get(f"{DEPENDENCE}{name}")) is not None)
    found = []
    for i, (p, name) in enumerate(ordered):
        if p * (len(ordered) - i) > LEVEL:
            break
        found.append(name)
    return found


def describe_support(facts: Facts) -> str:
    """A sentence on the twins that are like nobody; empty where there are none to speak of."""
    share = facts.get(OFF_SUPPORT)
    if share is None:
        return ""
    return f"Twins farther from any training row than {FAR:.0%} of held-out rows are: {share:.1%}."
