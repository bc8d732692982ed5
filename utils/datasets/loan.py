"""loan: a semi-synthetic credit data set with a non-linear SCM.

Karimi et al. 2020 (arXiv 2006.06831), as used by Ehyaei et al. 2024 (arXiv 2308.08938).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from utils.datasets.synthetic import bernoulli, generate, normal
from utils.datasets.tabular import mark
from utils.scms.structure import Equation, additive
from utils.types import Column, Dataset

COLUMNS = (
    Column("gender", "binary", levels=(0.0, 1.0)),
    Column("age", "continuous"),  # years, centred
    Column("education", "continuous"),
    Column("loan_amount", "continuous"),
    Column("duration", "continuous"),
    Column("income", "continuous"),
    Column("savings", "continuous"),
)
NOISE = {
    "gender": bernoulli(0.5),
    "age": lambda rng, n: rng.gamma(10.0, 3.5, n) - 35.0,
    "education": normal(0.5),
    "loan_amount": normal(2.0),
    "duration": normal(3.0),
    "income": normal(2.0),
    "savings": normal(5.0),
}


def _sigmoid(x: Tensor) -> Tensor:
    """Computes the sigmoid by tanh, whose bits are the same however many rows there are; torch.sigmoid's are not."""
    return (1 + torch.tanh(x / 2)) / 2


INSIDE = 0.5 - 1e-6  # education lies strictly inside (-.5, .5); float rounding may put it on the edge


def _schooling(gender: Tensor, age: Tensor) -> Tensor:
    return -1.0 + 0.5 * gender + _sigmoid(0.1 * age)


# E = -.5 + 1 / (1 + exp(1 - .5 G - sigmoid(.1 A) - U)): invertible, not additive
EDUCATION = Equation(
    ("gender", "age"),
    push=lambda u, g, a: _sigmoid(_schooling(g, a) + u) - 0.5,
    pull=lambda x, g, a: torch.logit(x.clamp(-INSIDE, INSIDE) + 0.5) - _schooling(g, a),
)
EQUATIONS = {
    "education": EDUCATION,
    "loan_amount": additive(("gender", "age"), lambda g, a: 1 - 0.01 * (a - 5).square() + g),
    "duration": additive(("gender", "age", "loan_amount"), lambda g, a, loan: -1 + 0.1 * a + 2 * g + loan),
    "income": additive(("gender", "age", "education"), lambda g, a, e: -4 + 0.1 * (a + 35) + 2 * g + g * e),
    "savings": additive(("income",), lambda i: -4 + 1.5 * i.clamp_min(0)),
}


def repayment(v: Mapping[str, Tensor]) -> Tensor:
    """Probability that the loan is repaid, natural units: sigmoid(.3 (-L - D + I + S + I S))."""
    interaction = v["income"] * v["savings"]
    return torch.sigmoid(0.3 * (-v["loan_amount"] - v["duration"] + v["income"] + v["savings"] + interaction))


def loan(
    *, name: str, rows: int, split: Sequence[float], sensitive: Sequence[str], actionable: Sequence[str], seed: int
) -> Dataset:
    """Gender, age, education, loan amount, duration, income and savings; the label is repayment."""
    return generate(
        name, mark(COLUMNS, sensitive, actionable), NOISE, EQUATIONS, repayment, rows=rows, split=split, seed=seed
    )
