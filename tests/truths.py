"""Generated people whose counterfactuals are known: their own noise, pushed through equations that are written here.

NumPy and SciPy alone, nothing of the package but the names of columns.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from utils.types import Column

Values = Mapping[str, Any]  # by column, (n,)


class Truth(NamedTuple):
    """An SCM of which everything is known."""

    columns: tuple[Column, ...]
    parents: Mapping[str, tuple[str, ...]]  # by column
    noise: Callable[[np.random.Generator, int], Values]  # also of the sensitive attributes, under their names
    people: Callable[[Values, Values], Values]  # noise, sensitive columns -> all columns
    levels: tuple[Mapping[str, float], ...]  # of the sensitive columns


def share(x):
    return 1 / (1 + np.exp(-x))


def categories(scores, gumbel):
    """One-hot (n, k) of the largest score plus noise."""
    return np.eye(scores.shape[1])[(scores + gumbel).argmax(1)]


def in_order(scores, u):
    """One-hot (n, k) of the first level whose distribution function is above u: the monotone coupling."""
    chance = np.exp(scores - scores.max(1, keepdims=True))
    below = (chance / chance.sum(1, keepdims=True)).cumsum(1)
    return np.eye(scores.shape[1])[(u[:, None] >= below[:, :-1]).sum(1)]


def block(name, parents):
    return {f"{name}={i}": parents for i in range(3)}


def binary(name, **more):
    return Column(name, "binary", levels=(0.0, 1.0), **more)


JOB = tuple(binary(f"job={i}", attribute="job") for i in range(3))
JOBS = tuple(c.name for c in JOB)


def jobs(values):
    return {f"job={i}": values[:, i] for i in range(3)}


def _mixed(choose):
    def people(noise, given):
        sex, age = given["sex"], noise["age"]
        scores = np.stack([np.full_like(age, 0.3), 0.2 + 1.4 * sex + 0.02 * age, -0.4 - sex], 1)
        job = choose(scores, noise["job"])
        member = (noise["member"] < share(-0.8 + 1.5 * sex + 0.6 * job[:, 1])) * 1.0
        kids = stats.poisson.ppf(noise["kids"], np.exp(0.1 + 0.7 * member + 0.02 * age - 0.5 * sex))
        income = 4 * job[:, 1] + 1.5 * job[:, 2] + 2 * member + 0.05 * age - 0.6 * kids + noise["income"]
        return {"sex": sex, "age": age, **jobs(job), "member": member, "kids": kids, "income": income}

    def noise(rng, n):
        job = rng.gumbel(size=(n, 3)) if choose is categories else rng.random(n)
        return {
            "sex": (rng.random(n) < 0.5) * 1.0,
            "age": rng.normal(0, 10, n),
            "job": job,
            "member": rng.random(n),
            "kids": rng.random(n),
            "income": rng.normal(0, 2, n),
        }

    columns = (
        binary("sex", sensitive=True),
        Column("age", "continuous"),
        *JOB,
        binary("member"),
        Column("kids", "continuous", integer=True, discrete="count"),
        Column("income", "continuous"),
    )
    parents = {
        **block("job", ("sex", "age")),
        "member": ("sex", "job=1"),
        "kids": ("member", "age", "sex"),
        "income": (*JOBS, "member", "age", "kids"),
    }
    return Truth(columns, parents, noise, people, ({"sex": 0.0}, {"sex": 1.0}))


MIXED = _mixed(categories)
MONOTONE = _mixed(in_order)  # jobs change in their order, which no data tell


def _non_root():
    """region -> origin (sensitive) -> degree (ordered) -> income; region -> income."""

    def noise(rng, n):
        region = (rng.random(n) < 0.4) * 1.0
        origin = (rng.random(n) < share(-0.5 + 1.5 * region)) * 1.0
        return {
            "region": region,
            "origin": origin,
            "degree": rng.logistic(size=n),
            "income": rng.normal(0, 1, n),
        }

    def people(noise, given):
        score = 0.4 - 1.3 * given["origin"] + 0.8 * noise["region"]
        degree = (noise["degree"][:, None] + score[:, None] >= np.array([-1.0, 0.3, 1.5])).sum(1) * 1.0
        income = 0.9 * degree + 0.5 * noise["region"] - 0.2 * given["origin"] + noise["income"]
        return {"region": noise["region"], "origin": given["origin"], "degree": degree, "income": income}

    columns = (
        binary("region"),
        binary("origin", sensitive=True),
        Column("degree", "continuous", integer=True, bounds=(0.0, 3.0), discrete="ordered"),
        Column("income", "continuous"),
    )
    parents = {"origin": ("region",), "degree": ("origin", "region"), "income": ("degree", "region", "origin")}
    return Truth(columns, parents, noise, people, ({"origin": 0.0}, {"origin": 1.0}))


NON_ROOT = _non_root()


def _three_levels():
    """race of three levels -> job -> member."""
    races = tuple(f"race={i}" for i in range(3))

    def noise(rng, n):
        race = np.eye(3)[rng.choice(3, n, p=[0.5, 0.3, 0.2])]
        own = {f"race={i}": race[:, i] for i in range(3)}
        return {**own, "job": rng.gumbel(size=(n, 3)), "member": rng.random(n), "age": rng.normal(0, 1, n)}

    def people(noise, given):
        one, two = given["race=1"], given["race=2"]
        scores = np.stack([0.2 + 0 * one, 0.5 - 1.2 * one + 0.4 * two, -0.3 + 0.8 * one - 1.1 * two], 1)
        job = categories(scores + 0.3 * np.outer(noise["age"], [0.0, 1.0, -1.0]), noise["job"])
        member = (noise["member"] < share(-0.2 + 1.5 * job[:, 1] - 0.9 * two)) * 1.0
        race = {name: given[name] for name in races}
        return {**race, "age": noise["age"], **jobs(job), "member": member}

    sensitive = tuple(binary(name, attribute="race", sensitive=True) for name in races)
    columns = (*sensitive, Column("age", "continuous"), *JOB, binary("member"))
    parents = {**block("job", (*races, "age")), "member": ("job=1", "race=2")}
    levels = tuple({name: float(name == own) for name in races} for own in races)
    return Truth(columns, parents, noise, people, levels)


THREE_LEVELS = _three_levels()


def _two_attributes():
    """sex and origin -> member, married (which knows member) -> hours (whole numbers, additive)."""

    def noise(rng, n):
        return {
            "sex": (rng.random(n) < 0.5) * 1.0,
            "origin": (rng.random(n) < 0.3) * 1.0,
            "member": rng.random(n),
            "married": rng.random(n),
            "hours": rng.normal(0, 8, n),
        }

    def people(noise, given):
        sex, origin = given["sex"], given["origin"]
        member = (noise["member"] < share(-0.4 + 1.1 * sex - 0.9 * origin)) * 1.0
        married = (noise["married"] < share(0.3 - 0.8 * sex + 1.2 * member)) * 1.0
        hours = 40 + 4 * sex - 3 * origin - 5 * married + noise["hours"]
        return {"sex": sex, "origin": origin, "member": member, "married": married, "hours": np.rint(hours)}

    columns = (
        binary("sex", sensitive=True),
        binary("origin", sensitive=True),
        binary("member"),
        binary("married"),
        Column("hours", "continuous", integer=True),
    )
    parents = {"member": ("sex", "origin"), "married": ("sex", "member"), "hours": ("sex", "origin", "married")}
    levels = tuple({"sex": float(s), "origin": float(o)} for s in (0, 1) for o in (0, 1))
    return Truth(columns, parents, noise, people, levels)


TWO_ATTRIBUTES = _two_attributes()


def _simple(income, parents):
    """sex, age -> member; age -> hours; income of all but hours, by its own equation; the graph as it is claimed."""

    def noise(rng, n):
        return {
            "sex": (rng.random(n) < 0.5) * 1.0,
            "age": rng.normal(0, 1, n),
            "member": rng.random(n),
            "hours": rng.normal(0, 1, n),
            "hidden": rng.normal(0, 1, n),
            "income": rng.normal(0, 1, n),
        }

    def people(noise, given):
        sex, age = given["sex"], noise["age"]
        member = (noise["member"] < share(-0.5 + sex + 0.5 * age)) * 1.0
        own = {"sex": sex, "age": age, "member": member, "hours": age**2 - 0.7 * noise["hidden"] + noise["hours"]}
        return {**own, "income": income(own, noise["hidden"]) + noise["income"]}

    columns = (
        binary("sex", sensitive=True),
        *(Column("age", "continuous"), binary("member"), Column("hours", "continuous"), Column("income", "continuous")),
    )
    parents = {"member": ("sex", "age"), "hours": ("age",), **parents}
    return Truth(columns, parents, noise, people, ({"sex": 0.0}, {"sex": 1.0}))


# of sex on income a way that is not through member, which the graph does not know
VIOLATING = _simple(lambda own, _: own["member"] + 0.3 * own["sex"] + own["age"], {"income": ("member", "age")})
# an effect that is no line, under the right graph
BENT = _simple(lambda own, _: own["member"] + own["age"] ** 2, {"income": ("member", "age")})
# hours and income have a cause that nobody recorded: without an arrow between them, and with one
CONFOUNDED = _simple(lambda own, hidden: own["member"] + own["age"] + hidden, {"income": ("member", "age")})
CONCEALED = CONFOUNDED._replace(parents={**CONFOUNDED.parents, "income": ("member", "age", "hours")})
TRUTHS = {"mixed": MIXED, "non_root": NON_ROOT, "three_levels": THREE_LEVELS, "two_attributes": TWO_ATTRIBUTES}


def _spread():
    """sex and age -> member; all three -> wage, log-normal, the spread of whose logarithm depends on sex, and hours."""

    def noise(rng, n):
        return {
            "sex": (rng.random(n) < 0.5) * 1.0,
            "age": rng.normal(0, 1, n),
            "member": rng.random(n),
            "wage": rng.normal(0, 1, n),
            "hours": rng.normal(0, 1, n),
        }

    def people(noise, given):
        sex, age = given["sex"], noise["age"]
        member = (noise["member"] < share(-0.5 + sex + 0.5 * age)) * 1.0
        wage = np.exp(1 + 0.4 * sex + 0.2 * age + 0.3 * member + (0.2 + 0.4 * sex) * noise["wage"])
        hours = 40 + (2 + 6 * (1 - sex)) * noise["hours"] - 2 * member
        return {"sex": sex, "age": age, "member": member, "wage": wage, "hours": hours}

    columns = (
        binary("sex", sensitive=True),
        *(Column("age", "continuous"), binary("member"), Column("wage", "continuous"), Column("hours", "continuous")),
    )
    parents = {"member": ("sex", "age"), "wage": ("sex", "age", "member"), "hours": ("sex", "member")}
    return Truth(columns, parents, noise, people, ({"sex": 0.0}, {"sex": 1.0}))


SPREAD = _spread()  # whose noise is not additive


def draw(truth: Truth, rows: int, seed: int) -> tuple[Values, list[Values]]:
    """Rows, and what each would be at every level of the sensitive attributes."""
    noise = truth.noise(np.random.default_rng(seed), rows)
    own = {name: noise[name] for name in truth.levels[0]}
    others = [{name: np.full(rows, value) for name, value in level.items()} for level in truth.levels]
    return truth.people(noise, own), [truth.people(noise, level) for level in others]
