"""Checks that bounds hold: points of domains and of causal perturbation balls, computed in double precision."""

import copy

import torch

from utils.adversary.bounds import Twins, counterfactuals
from utils.adversary.taylor import Domain, Taylor
from utils.scms.structure import scm_in_double

KINDS = ("ball", "box", "cut", "corner")


def domain(kind, size, *, k=3, p=40, seed=0, dtype=torch.float32):
    """Domains of a kind: whole L2 balls, boxes as they are, and boxes that a ball cuts, deep in it or at its surface.

    Of ``corner`` the ball leaves out the centre of many boxes, all of none.
    """
    source = torch.Generator().manual_seed(seed)
    half = torch.full((k, p), size, dtype=dtype)
    radius, centre = torch.full((p,), size, dtype=dtype), torch.zeros(k, p, dtype=dtype)
    if kind == "box":
        return Domain(centre, half * torch.rand(k, p, generator=source, dtype=dtype), None)
    if kind == "ball":
        return Domain(centre, half, radius, whole=True)
    if kind == "corner":
        nearest = torch.nn.functional.normalize(torch.rand(k, p, generator=source, dtype=dtype) + 0.05, dim=0)
        half = half * 0.2 * torch.rand(1, p, generator=source, dtype=dtype)
        return Domain(0.999 * size * nearest + half, half, radius)
    for _ in range(int(torch.randint(1, 7, (), generator=source))):
        side = torch.randint(k, (1, p), generator=source)
        quarter = torch.zeros_like(half).scatter(0, side, half.gather(0, side) / 2)
        towards = torch.where(torch.rand(k, p, generator=source) < 0.5, -1.0, 1.0).to(dtype)
        near = (centre.abs() - half).clamp_min(0).square().sum(0) < 0.5 * size**2  # so that some of it is in the ball
        centre = centre + torch.where(near, towards, -centre.sign()) * quarter
        half = half - quarter
    return Domain(centre, half, radius)


def points(of, n=60, seed=1):
    """Points (n, k, p) of domains in double precision: corners, random ones, and many on the surface of the ball."""
    source = torch.Generator().manual_seed(seed)
    centre, half = of.centre.double(), of.half.double()
    steps = 2 * torch.rand(n, *half.shape, generator=source, dtype=torch.float64) - 1
    steps[: n // 2] = steps[: n // 2].sign()
    found = centre + half * steps
    if of.radius is None:
        return found
    least = (centre - half).clamp_min(0) + (centre + half).clamp_max(0)  # the nearest of the box to the ball's centre
    way = found - least
    # norm(least + share way) = radius, the larger root
    a, b = way.square().sum(1).clamp_min(1e-300), (least * way).sum(1)
    c = least.square().sum(0) - of.radius.double().square()
    share = ((-b + (b.square() - a * c).clamp_min(0).sqrt()) / a).clamp(0, 1)
    inside = least + share.unsqueeze(1) * way
    return inside.where((inside.norm(dim=1) <= of.radius.double() * (1 + 1e-12)).unsqueeze(1), least)


def moving(of, columns=4, *, scale=1.0, seed=2, rest=0.0):
    """Numbers (p, columns) that move over domains, and a function of points (n, k, p) that gives them (n, p, columns).

    They lie up to ``rest`` from their lines, in double precision.
    """
    source = torch.Generator().manual_seed(seed)
    k, p = of.half.shape
    dtype = of.half.dtype
    value = scale * torch.randn(p, columns, generator=source, dtype=dtype)
    slope = scale * torch.randn(k, p, columns, generator=source, dtype=dtype)
    beside = rest * torch.rand(p, columns, generator=source, dtype=dtype)

    def at(t):
        lines = value.double() + torch.einsum("kpc,nkp->npc", slope.double(), t - of.centre.double())
        return lines + beside.double() * (2 * torch.rand(lines.shape, generator=source, dtype=torch.float64) - 1)

    return Taylor(value, slope, beside, of), at


def excess(function, of, **how):
    """The most by which a function exceeds its bounds over moving numbers of domains, 0 or below where they hold.

    The function has to take double precision, in which it is evaluated at points of the domains.
    """
    numbers, at = moving(of, **how)
    low, high = function(numbers).bounds()
    found = function(at(points(of)))
    assert found.shape[1:] == low.shape, "of every number there is a bound"
    assert found.isfinite().all(), "the points have answers"
    low, high = (torch.where(end.isnan(), way, end).double() for end, way in ((low, -torch.inf), (high, torch.inf)))
    return float(torch.maximum(low - found, found - high).amax())


def uncovered(scm, x, predict, of, possible, noise=None, n=40):
    """The points of twins' domains that lie in none of their boxes of features, or whose logits lie beyond all bounds.

    Args:
        scm: turns noise into features.
        x: rows (n, d), model space.
        predict: a module.
        of: a function of the number of twins that returns their domains.
        possible: levels of discrete nodes, as a function of the twins.
        noise: (p, d) of the twins; None: as it is abducted.
        n: points of a domain.
    """
    own, levels = scm.own(x).repeat(len(scm.levels), 1), torch.arange(len(scm.levels)).repeat_interleave(len(x))
    twins = Twins(own, scm.to_noise(own) if noise is None else noise, levels)
    domains = of(len(levels))
    held = counterfactuals(scm, twins, domains, possible(twins))
    assert torch.equal(held.row.unique(), torch.arange(len(levels))), "every twin has a box"
    inner, outer = held.features.bounds(), predict(held.features).bounds()
    exact = scm_in_double(scm)
    shifts = torch.zeros(n, *own.shape, dtype=torch.float64)
    shifts[..., scm.unit > 0] = points(domains, n).transpose(1, 2)
    drawn = exact.to_noise(exact.own(x.double())).repeat(len(scm.levels), 1) if noise is None else noise.double()
    do = {column: exact.levels[levels, j] for j, column in enumerate(scm.sensitive)}
    moved = exact.model(exact.to_features(drawn + shifts * exact.unit, do))
    logits = copy.deepcopy(predict).double()(moved)
    inside = torch.stack(
        [
            ((low <= found[:, held.row]) & (found[:, held.row] <= high)).all(-1)
            for (low, high), found in ((inner, moved), (outer, logits))
        ]
    ).all(0)
    return int((torch.zeros(n, len(levels)).index_add(1, held.row, inside.float()) == 0).sum())
