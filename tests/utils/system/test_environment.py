import subprocess
import sys

import pytest

import paths_config

FAULTS = """
import resource, torch
from utils.system.environment import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(30):
        torch.ones(2**24)  # 64 MiB, given back at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given = faults()
keep_memory()
print(given, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
@pytest.mark.slow
def test_kept_memory_is_not_fetched_from_the_system_again_and_again():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], cwd=paths_config.ROOT, capture_output=True, text=True, check=True
    )
    given, kept = map(int, done.stdout.split())
    assert given > 2 * kept  # thirty times, and two to eleven as other threads allocate beside it
