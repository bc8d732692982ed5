"""CPU-seconds of the causal methods, beside plain references that go row by row. Run by hand:

    python -m tests.benchmarks.bench_causal [--rows N] [--adult]

1. Unfair areas of 1,000 individuals, against N of them one point at a time (tests/oracles.py), on the same
   directions: first that both give the same figures, then the seconds of each and their ratio per individual.
2. One epoch of CAPIFY, batched, against N rows one at a time, the same loss from the same starts.
3. A whole run, 10 epochs and the five unfair areas of 1,000 fresh individuals, with its peak memory; ``--adult``
   adds the same for adult, whose file must be in the data folder.

Repetitions of both sides alternate, so that what else the machine does slows both alike; shown is the median of
process time, on one thread. Peak memory is that of the process so far, so the runs come last and smallest first.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn

import paths_config
from tests import oracles
from utils import build, seeding
from utils.decides.threshold import smallest_accepted
from utils.metrics.unfair_area import unfair_area
from utils.scms.counterfactual import draw
from utils.threats import Ball
from utils.training.one_model import fit
from utils.types import Batch, Context
from utils.words.numbers import read_radii

INDIVIDUALS, SAMPLES, REPEATS = 1000, 1000, 3
AREAS: dict[str, Any] = {"n": INDIVIDUALS, "rows": INDIVIDUALS, "samples": SAMPLES, "steps": 10, "rel_step": 0.25}
AREAS |= {"restarts": 4, "intervals": 0, "level": 0.95}


def seconds(*contestants: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Median process time of each, in turns."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(repeats):
        for spent, contestant in zip(times, contestants, strict=True):
            start = time.process_time()
            contestant()
            spent.append(time.process_time() - start)
    return [statistics.median(spent) for spent in times]


def built(*overrides: str) -> build.Run:
    """A run as the command line builds it."""
    with initialize_config_dir(str(paths_config.ROOT / "config"), version_base="1.3"):
        cfg = compose("train", overrides=["device=cpu", *overrides])
    params: Any = OmegaConf.to_container(cfg, resolve=True)
    return build.build_run(params)


def trained(run: build.Run, epochs: int) -> Context:
    """Fit the model of the run; the context with the fitted threshold."""
    trainer, data = run.params["trainer"], run.dataset
    fit(
        run.model,
        run.objective,
        data.train,
        data.valid,
        run.ctx,
        make_optimizer=run.make_optimizer,
        epochs=epochs,
        batch_size=trainer["batch_size"],
        lr=trainer["lr"],
        weight_decay=trainer["weight_decay"],
        order=seeding.generator(run.ctx.seed, "order"),
        watch=lambda epoch, figures: None,
    )
    with torch.no_grad():
        return replace(run.ctx, decide=run.fit_decide(run.model(data.valid.x), data.valid))


def areas(run: build.Run, ctx: Context, rows: Batch, individuals: str = "rows", estimators: str = "separate") -> Any:
    radii = read_radii(run.params["epsilon"]["evaluate"])
    return unfair_area(run.model, rows, ctx, radii=radii, individuals=individuals, estimators=estimators, **AREAS)


# --- 1. unfair areas ---


def layers(model: nn.Module) -> list[tuple[Any, Any]]:
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in linear]


def areas_one_by_one(run: build.Run, ctx: Context, x: Tensor) -> dict[str, float]:
    """The five random figures of the individuals x (n, d), model space."""
    scm, parts = ctx.scm, layers(run.model)
    loc, scale, mask = scm.loc.double().numpy(), scm.scale.double().numpy(), (scm.unit > 0).float()
    like = mask.expand(SAMPLES, -1)
    directions = Ball("l2").uniform(like, mask, seeding.generator(ctx.seed, "directions")).tolist()
    bound = smallest_accepted(ctx.decide.probability, torch.float32)  # type: ignore[attr-defined]

    def logit(row: list[float]) -> float:
        return oracles.mlp_logit(parts, (row - loc) / scale)

    found: dict[str, float] = {}
    people = scm.own(x).double().tolist()
    for radius in run.params["epsilon"]["evaluate"]:
        own, other = (
            [
                oracles.slack(run.dataset.name, logit, row, radius, directions, bound, around=abs(flip - round(row[0])))
                for row in people
            ]
            for flip in (0, 1)
        )
        found[f"uai_ar_random_{radius}"] = sum(s < 0 for s in own) / len(x)
        found[f"uai_random_{radius}"] = sum(min(pair) < 0 for pair in zip(own, other, strict=True)) / len(x)
    found["uai_cf"] = sum(oracles.slack(run.dataset.name, logit, row, 0.0, [], bound) < 0 for row in people) / len(x)
    return found


def unfair_areas(name: str, rows: int) -> Iterator[str]:
    run = built(f"dataset={name}", "regularizer=[erm]")
    ctx = trained(run, 10)
    everybody = draw(ctx.scm, INDIVIDUALS, seeding.rng(0, "bench"))
    flat = torch.zeros(INDIVIDUALS, dtype=torch.int64)
    batch = Batch(everybody, flat, flat, torch.ones(INDIVIDUALS), torch.arange(INDIVIDUALS))
    few = batch.rows(slice(0, rows))
    ours, theirs = areas(run, ctx, few), areas_one_by_one(run, ctx, few.x)
    wrong = {key: (ours[key], value) for key, value in theirs.items() if abs(ours[key] - value) > 1.5 / rows}
    if wrong:
        raise SystemExit(f"{name}: figures differ from the reference: {wrong}")
    separate, union, slow = seconds(
        lambda: areas(run, ctx, batch),
        lambda: areas(run, ctx, batch, estimators="union"),
        lambda: areas_one_by_one(run, ctx, few.x),
    )
    each = slow / rows
    yield (
        f"unfair areas, {name:<5} {separate:>8.2f} s  {union:>8.2f} s  {each * INDIVIDUALS:>9.0f} s"
        f"  {each * INDIVIDUALS / separate:>7.0f}x"
    )


# --- 2. an epoch of CAPIFY ---


def epoch_one_by_one(run: build.Run, rows: Batch, starts: Tensor) -> Tensor:
    """The loss of every row, nominal included, each with its own backward pass."""
    ctx = run.ctx
    node = run.params["regularizer"]["causal_adv"]
    model = run.model.double()
    losses = []
    people = ctx.scm.own(rows.x.double()).tolist()
    for row, y, start in zip(people, rows.y.tolist(), starts, strict=True):

        def logit(v: Tensor) -> Tensor:
            return model((v - ctx.scm.loc) / ctx.scm.scale)[0]

        loss = oracles.causal_adv(
            run.dataset.name,
            logit,
            row,
            y,
            start,
            radius=run.params["epsilon"]["radius"],
            steps=node["steps"],
            rel_step=node["rel_step"],
            mask=[float(c.actionable) for c in ctx.columns],
        )
        loss = loss + oracles.bce(logit(torch.tensor(row, dtype=torch.float64)), y)
        loss.backward()
        losses.append(loss.detach())
    run.model.float().zero_grad()
    return torch.stack(losses)


def epoch(run: build.Run, rows: Batch, size: int) -> Tensor:
    """The same, batched: one backward pass a batch."""
    losses = []
    for start in range(0, len(rows.y), size):
        total, _ = run.objective(run.model, rows.rows(slice(start, start + size)), run.ctx)
        total.backward()
        losses.append(total.detach())
    run.model.zero_grad()
    return torch.stack(losses)


def epochs(name: str, rows: int) -> Iterator[str]:
    run = built(f"dataset={name}", "regularizer=[causal_adv]", "regularizer.causal_adv.twins=1")
    data = run.dataset.train
    few = data.rows(slice(0, rows))
    probe = replace(run, ctx=replace(run.ctx, generator=seeding.generator(0, "starts")))
    starts = torch.randn(1, *few.x.shape, generator=seeding.generator(0, "starts"))[0]
    ours, theirs = float(epoch(probe, few, rows)), float(epoch_one_by_one(run, few, starts).mean())
    if abs(ours - theirs) > 1e-3 * abs(theirs):
        raise SystemExit(f"{name}: the loss {ours} differs from the reference, {theirs}")
    fast, slow = seconds(lambda: epoch(run, data, 100), lambda: epoch_one_by_one(run, few, starts))
    whole = slow / rows * len(data.y)
    yield f"epoch of CAPIFY, {name:<5} {fast:>5.2f} s  {'':>10}  {whole:>9.1f} s  {whole / fast:>7.0f}x"


# --- 3. whole runs ---


def whole_run(name: str) -> Iterator[str]:
    """Ten epochs of CAPIFY and the five unfair areas of 1,000 fresh individuals."""
    start = time.process_time()
    run = built(f"dataset={name}", "regularizer=[causal_adv]")
    prepared = time.process_time()
    ctx = trained(run, run.params["trainer"]["epochs"])
    fitted = time.process_time()
    areas(run, ctx, run.dataset.test, individuals="scm")
    judged = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    yield (
        f"whole run, {name:<6} {judged - start:>7.2f} s: data and SCM {prepared - start:.2f}, "
        f"fit {fitted - prepared:.2f}, unfair areas {judged - fitted:.2f}; peak {peak:.0f} MiB"
    )


def report(rows: int, adult: bool) -> Iterator[str]:
    torch.set_num_threads(1)
    yield f"{'':<20}{'batched':>9}{'union':>12}{'row by row':>13}{'ratio':>10}"
    for name in ("nlm", "loan"):
        yield from unfair_areas(name, rows)
    for name in ("nlm", "loan"):
        yield from epochs(name, rows)
    for name in ("loan", *(["adult"] if adult else [])):
        yield from whole_run(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="CPU-seconds of the causal methods")
    parser.add_argument("--rows", type=int, default=10, help="rows of the row-by-row references")
    parser.add_argument("--adult", action="store_true", help="also a whole run on adult")
    arguments = parser.parse_args()
    for line in report(arguments.rows, arguments.adult):
        print(line, flush=True)
