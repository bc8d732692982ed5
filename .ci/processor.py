"""Prints the processor and the numerical kernels at hand: the last bits of results depend on them."""

import platform
from pathlib import Path

import numpy
import sklearn.utils  # noqa: F401  # loads OpenMP
import threadpoolctl
import torch

info = Path("/proc/cpuinfo")
names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
print(f"on {names[0] if names else platform.processor()}, {len(names)} cores, Python {platform.python_version()}")
print(f"  torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), numpy {numpy.__version__}")
for pool in threadpoolctl.threadpool_info():
    known = (pool["internal_api"], pool.get("version"), pool.get("architecture"), f"{pool['num_threads']} threads")
    print(" ", *(word for word in known if word))
