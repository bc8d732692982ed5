"""Real processes over gloo: sums, means and shares."""

import multiprocessing as mp
import socket

import torch
from torch import Tensor, nn

from utils.system import processes


def in_two(work) -> list:
    """What ``work(rank)`` gives in each of two processes that have joined."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    answers = context.SimpleQueue()
    running = [context.Process(target=_in_one, args=(work, rank, port, answers)) for rank in (0, 1)]
    for process in running:
        process.start()
    found = dict(answers.get() for _ in running)
    for process in running:
        process.join()
    return [found[0], found[1]]


def _in_one(work, rank: int, port: int, answers) -> None:
    import os

    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with processes.join(torch.device("cpu")):
        answers.put((rank, work(rank)))


def everything(rank: int) -> dict:
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float(rank))
    model[1].running_mean.fill_(float(rank))
    processes.average_gradients(model)
    processes.average_buffers(model)
    return {
        "sum": processes.sum_over_processes(torch.tensor([1.0, rank])).tolist(),
        "told": processes.broadcast(f"from {rank}"),
        "share": processes.share(torch.arange(5)).tolist(),
        "gradients": [p.grad.unique().tolist() for p in model.parameters()],
        "mean": model[1].running_mean.tolist(),
        "who": (processes.rank(), processes.world()),
    }


def test_two_processes_sum_agree_and_share():
    first, second = in_two(everything)
    assert first["sum"] == second["sum"] == [2.0, 1.0]
    assert first["told"] == second["told"] == "from 0"
    assert (first["share"], second["share"]) == ([0, 2, 4], [1, 3])
    assert first["gradients"] == second["gradients"] == [[0.5]] * 4
    assert first["mean"] == second["mean"] == [0.5]
    assert (first["who"], second["who"]) == ((0, 2), (1, 2))


def test_one_process_is_left_alone():
    rows: Tensor = torch.arange(3)
    with processes.join(torch.device("cpu")):
        assert processes.sum_over_processes(rows) is rows
        assert processes.share(rows) is rows
        assert processes.broadcast("me") == "me"
        assert (processes.rank(), processes.world()) == (0, 1)
