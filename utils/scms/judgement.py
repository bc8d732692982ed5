"""The judgement of a causal model by data: its equations, its graph, and its twins. Facts, and warnings in words.

- Every equation on the rows that are held out, beside one that knows no parents and a boosted reference on the same
  parents (``scoring``); and whether what it leaves over depends on the parents (``independence``).
- The conditional independences that the graph implies, on the training rows (``independence``).
- The twins that lie farther from any training row than rows do.

No data show what they do not hold: a confounder that nobody recorded may leave every figure here as it is.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from utils import seeding
from utils.scms.counterfactual import chances, is_factual, twins
from utils.scms.facts import DEPENDENCE, FAR, INDEPENDENCES, OFF_SUPPORT, REFUTED, dependent, share_explained
from utils.scms.independence import dependences, describe, independences, refuted
from utils.scms.kept_references import keep_references
from utils.scms.scoring import Fitted, equations_of, held_out
from utils.types import SCM, Dataset, Independence, Judgement
from utils.words.quoting import copyable, override

MARGIN = 0.05  # of explained variance or of explained log-loss, by which the reference may be ahead
WORSE = 0.01  # likewise, by which an equation may be behind one that knows no parents
USUAL = 0.05  # the share of twins off support that is borne
TWIN_ROWS, NEAR_ROWS, CHUNK = 2_000, 20_000, 250
ROUNDING = 1e-2  # of distances, which are roots of differences of large products
MOST_NAMED = 3  # independences in a warning


def judge(scm: SCM, dataset: Dataset) -> Judgement:
    """The facts of a causal model that was fitted to a data set, which grow by its judgement, and the warnings."""
    equations = equations_of(scm, dataset.columns)
    if not equations:
        return Judgement(scm.facts)
    with torch.no_grad():
        tests, far = independences(dataset), off_support(scm, dataset)
        facts = {**scm.facts, **keep_references(equations, dataset), **dependences(equations, dataset)}
    facts |= {INDEPENDENCES: float(len(tests))} | ({} if far is None else {OFF_SUPPORT: far})
    facts |= {f"{REFUTED}{test.one},{test.other}": test.p for test in refuted(tests)}
    return Judgement(facts, tests, [*_of_equations(equations, facts), *_of_graph(tests), *_of_twins(facts)])


def _of_equations(equations: Sequence[Fitted], facts: Mapping[str, float]) -> Iterator[str]:
    """Yields a sentence on the equations that say less than none, on those far behind the reference, on residuals."""
    names = [own.name for own in equations]
    own, trees = ({name: share_explained(facts, name, reference=of) for name in names} for of in (False, True))
    worse = [name for name in names if (of := own[name]) is not None and of < -WORSE]
    if worse:
        listed = ", ".join(f"{name} {own[name]:+.1%}" for name in worse)
        yield (
            f"equations that predict held-out rows worse than their mean, or their shares, do (explained: {listed}): "
            "they follow the noise of few rows; fewer arrows, more rows, or fewer scm.steps mend it"
        )
    behind = {n: (own[n], of) for n in names if (of := trees[n]) is not None and own[n] is not None}
    far = [f"{n} {a:.1%} of {b:.1%}" for n, (a, b) in behind.items() if a is not None and b - a > MARGIN]
    if far:
        yield (
            f"equations explain far less of held-out rows than boosted trees on the same parents do ({', '.join(far)}):"
            " scm=learned bends where scm=linear cannot, more scm.steps fit longer, scm.nodes changes a mechanism"
        )
    if left := dependent(names, facts):
        listed = ", ".join(f"{name}, p = {facts[f'{DEPENDENCE}{name}']:.1g}" for name in left)
        yield (
            f"what equations leave over depends on the parents ({listed}; independence by HSIC): the noise that twins "
            f"share is not the same for all parents, so their figures may be off{_flow(equations, facts)}"
        )


def flows_for(equations: Sequence[Fitted], facts: Mapping[str, float]) -> dict[str, str]:
    """``scm.nodes`` by which the noise of numbers depends on their parents where data say so; none where they do not.

    Flows that there are stay.
    """
    left = dependent([own.name for own in equations], facts)
    bent = {own.name for own in equations if own.name in left and own.kind == "additive" and not own.cut}
    return {own.name: "flow" for own in equations if own.flows or own.name in bent} if bent else {}


def _flow(equations: Sequence[Fitted], facts: Mapping[str, float]) -> str:
    """The setting that does so."""
    nodes = flows_for(equations, facts)
    words = copyable("scm=learned", override("scm.nodes", nodes)) if nodes else ""
    return f"; {words} lets the noise of numbers depend on the parents" if nodes else ""


def _of_graph(tests: Sequence[Independence]) -> Iterator[str]:
    """Yields a sentence on what refutes the graph, the strongest first."""
    wrong = sorted(refuted(tests), key=lambda test: -abs(test.correlation))
    if not wrong:
        return
    listed = "; ".join(map(describe, wrong[:MOST_NAMED]))
    more = f"; and {len(wrong) - MOST_NAMED} more" * (len(wrong) > MOST_NAMED)
    yield (
        f"the graph is refuted by the data in {len(wrong)} of {len(tests)} independences that it implies: "
        f"{listed}{more}; an arrow, or a common cause, is missing"
    )


def _of_twins(facts: Mapping[str, float]) -> Iterator[str]:
    """Yields a sentence where many twins are far from any row."""
    if (share := facts.get(OFF_SUPPORT, 0.0)) > USUAL:
        yield (
            f"{share:.1%} of the twins are farther from any training row than {FAR:.0%} of rows are: the model answers "
            "there without having seen anybody like them"
        )


# --- twins -----------------------------------------------------------------------------------------------------


def off_support(scm: SCM, dataset: Dataset) -> float | None:
    """The share of twins farther from any training row than FAR of the held-out rows are; None where there are none.

    Distances in model space; twins at the levels that a row does not have, drawn once, whole numbers rounded.
    """
    rows = held_out(dataset)
    if len(rows.y) < 2 or not scm.sensitive or len(scm.levels) < 2:
        return None
    count = max(1, min(len(rows.y), TWIN_ROWS // (len(scm.levels) - 1)))
    x, near = rows.x[:count], dataset.train.x[:NEAR_ROWS]
    draw = seeding.Rows(seeding.derive(0, "posterior"), rows.index[:count])
    others = _whole(twins(scm, x, chances(scm, x, draw.uniform))[~is_factual(scm, x)], dataset)
    usual = torch.quantile(_nearest(rows.x[:TWIN_ROWS], near), FAR)
    return float((_nearest(others, near) > usual + ROUNDING).double().mean())


def _whole(x: Tensor, dataset: Dataset) -> Tensor:
    """Rows (n, d) with the nearest whole number in each column that holds whole numbers."""
    loc, scale = dataset.loc.to(x), dataset.scale.to(x)
    whole = torch.tensor([column.integer for column in dataset.columns], device=x.device)
    return torch.where(whole, ((loc + scale * x).round() - loc) / scale, x)


def _nearest(x: Tensor, rows: Tensor) -> Tensor:
    """The distance (n,) of each row of x (n, d) to the nearest of other rows."""
    return torch.cat([torch.cdist(part, rows).amin(1) for part in x.split(CHUNK)])
