import subprocess
import sys

import pytest

import paths_config

FAULTS = """
import resource, sys, torch
from utils.system.environment import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(2**24)  # 64 MiB, given back at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_kept_memory_is_not_fetched_from_the_system_again_and_again():
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], cwd=paths_config.ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("keep", "give")
    }
    assert faults["give"] > 2 * faults["keep"]  # fifty times, and two to eleven as other threads allocate beside it
