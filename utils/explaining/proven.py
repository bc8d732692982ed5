"""Proofs about people: fair within the radius, unfair by a counterexample, or open; and up to where fair."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from utils.adversary.certificates import Budget, Certificate, Judge, certify, largest_radius
from utils.adversary.taylor import NoBoundsError
from utils.metrics.proofs import explain_undefined_proofs
from utils.scms.counterfactual import factual_level
from utils.types import SCM, Column

BRANCHES = 16  # boxes for the levels of discrete nodes within one box, as the metric has it
SHARE = 5  # of the boxes, one part for each radius that is tried
TOTAL = 1_000_000  # boxes for all people at a radius

Verdict = Literal["fair", "unfair", "open", "undefined"]


@dataclass(frozen=True)
class Proof:
    """The outcome for one person."""

    verdict: Verdict
    margin: float | None  # log-odds that every point of a fair person is away from the threshold
    counterexample: Tensor | None  # (d,) model space, of an unfair person
    level: int | None  # of the counterexample
    largest: float | None  # radius up to which fairness is proven; None where it is not even of the twins
    reason: str = ""  # why nothing can be proven


def prove(judge: Judge, columns: tuple[Column, ...], x: Tensor, radius: float, most: float, boxes: int) -> list[Proof]:
    """The proofs about people x (p, d), model space, of all noise that agrees with their rows.

    Args:
        judge: the model, its thresholds and the causal model.
        columns: the schema.
        x: rows.
        radius: in the SCM's unit.
        most: the largest radius that is looked for.
        boxes: that the proof of a person may bound; 0: no proof.
    """
    reason = explain_undefined_proofs(judge, columns) if boxes else "boxes=0 asks for none"
    try:
        if not reason:
            people = judge.individuals(x)
            found = certify(judge, people, radius, Budget(boxes, TOTAL, BRANCHES))
            largest = largest_radius(judge, people, most, Budget(max(1, boxes // SHARE), TOTAL, BRANCHES))
            return [_proof(judge.scm, found, largest, i) for i in range(len(x))]
    except NoBoundsError as error:
        reason = str(error)
    return [Proof("undefined", None, None, None, None, reason)] * len(x)


def _proof(scm: SCM, found: Certificate, largest: Tensor, i: int) -> Proof:
    upto = float(largest[i])
    radius = None if math.isnan(upto) else upto
    if found.fair[i]:
        return Proof("fair", float(found.margin[i]), None, None, radius)
    if found.unfair[i]:
        point = found.counterexample[i].float()
        return Proof("unfair", None, point, int(factual_level(scm, point.unsqueeze(0))), radius)
    return Proof("open", None, None, None, radius)
