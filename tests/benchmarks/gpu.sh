#!/usr/bin/env bash
# What one data-centre GPU does, as a section of docs/speed.md, in nine minutes at most and without network:
#   tests/benchmarks/gpu.sh > section.md        (--device cpu --small tries every line of it without a GPU)
# Exits with 3 where there is no GPU, with 1 where a part failed. PYTHON names the interpreter that has torch.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
exec "$python" -m tests.benchmarks.bench_gpu "$@"
