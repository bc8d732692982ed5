"""FRL: fair robust learning (Xu et al. 2021, ICML, arXiv 2010.06121), reweight and remargin together."""

import math

import torch
from torch import Tensor

from utils.regularizers.by_class import ByClass, class_sums, require_valid
from utils.system.processes import sum_over_processes
from utils.types import Attack, Batch, Context, Predict
from utils.views.row_parts import parts


class Frl(ByClass):
    """Bounds how far the errors of a class may exceed the mean, by dual ascent on the validation split.

    After every epoch natural error e_i (wrong at x) and boundary error b_i (right at x, wrong at x') of each class are
    measured there, e and b over all rows. With the excesses e_i - e - bound and b_i - b - bound, the multipliers mu_i
    of the natural and nu_i of the boundary error and the margin phi_i rise by rate times excess, phi_i with that of
    the boundary. Multipliers are kept at 0 or more and their sum at ``limit`` or less. In training a row of class i
    has

        radius * clip(exp(2 phi_i), smallest, largest),  natural loss * (1 + C mu_i - sum of mu),
        boundary loss * (1 + C nu_i - sum of nu).

    The weights of the losses are C times the published ones, so that they are 1 where nothing is
    violated and 1 on average over the classes. The paper starts from a robust model; here ``warmup`` epochs of the
    same training stand for it. The published code attacks the validation rows by PGD-20 (here PGD-10 from x itself, by
    default), takes steps of one length for all rows (here a share of each row's radius), and runs TRADES with a beta of
    1.5 (here that of the term beside it, 6 by default).

    Args:
        classes: C.
        warmup: share of the epochs before the first measurement, in [0, 1); at least the first epoch.
        natural_bound: tolerated excess of e_i, as a fraction.
        boundary_bound: tolerated excess of b_i.
        natural_rate: step of mu.
        boundary_rate: step of nu.
        margin_rate: step of phi.
        halve_every: share of the ascent after which the steps of mu and nu halve, again and again.
        limit: most that mu and nu sum to, in (0, 1), so that no loss has a negative weight.
        smallest: least factor of a radius.
        largest: greatest factor of a radius.
        attack: gives x' on the validation rows.

    Raises:
        ValueError: a setting out of range; after the first epoch, that there are no validation rows.
    """

    multipliers: Tensor  # (3, C): phi, mu, nu
    listens = False

    def __init__(
        self,
        *,
        classes: int,
        warmup: float,
        natural_bound: float,
        boundary_bound: float,
        natural_rate: float,
        boundary_rate: float,
        margin_rate: float,
        halve_every: float,
        limit: float,
        smallest: float,
        largest: float,
        attack: Attack,
    ):
        super().__init__(classes, warmup)
        if not 0 <= warmup < 1:
            raise ValueError(f"regularizer.frl.warmup={warmup}: expected a share of the epochs in [0, 1)")
        if not 0 < limit < 1:
            raise ValueError(
                f"regularizer.frl.limit={limit}: expected a sum in (0, 1); from 1 on, weights get negative"
            )
        if not 0 < halve_every <= 1:
            raise ValueError(f"regularizer.frl.halve_every={halve_every}: expected a share of the ascent in (0, 1]")
        if not 0 < smallest <= largest:
            raise ValueError(
                f"regularizer.frl.smallest={smallest}, largest={largest}: expected factors, 0 < smallest <= largest"
            )
        self.halve_every, self.limit = halve_every, limit
        self.bounds = (natural_bound, boundary_bound)
        self.natural_rate, self.boundary_rate, self.margin_rate = natural_rate, boundary_rate, margin_rate
        self.smallest, self.largest, self.attack = smallest, largest, attack
        self.register_buffer("multipliers", torch.zeros(3, classes, dtype=torch.float64))

    def observed(self, logits: Tensor, batch: Batch, ctx: Context) -> None:
        """Learns nothing: the training rows do not count."""

    def epoch_ended(self, predict: Predict, valid: Batch, ctx: Context) -> None:
        """One step of the ascent, from the end of the warm-up to the beginning of the last epoch."""
        require_valid(valid, self.name)
        if ctx.epoch is None:
            return
        done, warm = ctx.epoch + 1, self.acts_from(ctx.epochs)
        if not warm <= done < ctx.epochs:
            return
        natural, boundary = self.excesses(predict, valid, ctx)
        slower = 0.5 ** math.floor((done - warm) / (ctx.epochs - warm) / self.halve_every)
        phi, mu, nu = self.multipliers
        phi = phi + self.margin_rate * boundary
        mu = ascend(mu, slower * self.natural_rate * natural, self.limit)
        nu = ascend(nu, slower * self.boundary_rate * boundary, self.limit)
        self.multipliers = torch.stack([phi, mu, nu])
        margin = (2 * phi).exp().clamp(self.smallest, self.largest)
        self.weights = torch.stack([margin, loss_weights(mu), loss_weights(nu)])

    def excesses(self, predict: Predict, valid: Batch, ctx: Context) -> Tensor:
        """Returns how far natural and boundary error of the classes exceed mean and bound, (2, C); 0 without rows."""
        found = [self._errors(predict, rows, ctx) for rows in parts(valid)]
        counts = sum_over_processes(torch.stack(found).sum(0))  # the same figures in all of them, to the bit
        errors, rows = counts[:, :2], counts[:, 2:]
        excess = errors / rows - errors.sum(0) / rows.sum() - errors.new_tensor(self.bounds)
        return torch.where(rows > 0, excess, 0).T

    def _errors(self, predict: Predict, rows: Batch, ctx: Context) -> Tensor:
        """Rows of each class that are wrong at x, that are right at x and wrong at x', and all of them, (C, 3)."""
        moved = self.attack(predict, rows, ctx.on(rows))
        with torch.no_grad():
            right = ctx.decide(predict(rows.x), rows.s) == rows.y
            broken = right & (ctx.decide(predict(moved), rows.s) != rows.y)
        return class_sums(torch.stack([~right, broken, torch.ones_like(right)], -1), rows.y, self.classes)


def ascend(multipliers: Tensor, step: Tensor, limit: float) -> Tensor:
    """The multipliers (C,) after a step of the ascent: none negative, and scaled to sum to ``limit`` where above."""
    risen = (multipliers + step).clamp_min(0)
    return risen * (limit / risen.sum().clamp_min(limit))


def loss_weights(multipliers: Tensor) -> Tensor:
    """1 + C mu_i - sum of mu, (C,): the weights of the loss in the Lagrangian, 1 on average."""
    return 1 + len(multipliers) * multipliers - multipliers.sum()
