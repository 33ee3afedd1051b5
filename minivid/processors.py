"""How PyTorch shares the processor, set before it is loaded, when this package is imported first.

OpenMP's threads spin while they wait for one another. Where two programs compute at once, or a container is
granted less time than it sees cores, they spin away each other's time, and both become many times slower. A
short spin costs a small training alone some time, and saves two at once far more
(`benchmarks/two_at_once.py`).
"""

import math
import os
from pathlib import Path

# Of GNU's OpenMP, which PyTorch uses on Linux; by default threads wait 300,000 turns (GCC's manual, libgomp).
SPIN_COUNT = "1000"
CGROUP = Path("/sys/fs/cgroup")


def set_environment() -> None:
    """Let threads spin a moment only, and be no more than the cores granted, unless the reader chose."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if (cores := granted()) < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def granted(cgroup: Path = CGROUP) -> int:
    """Cores' worth of processor time that this process may use: those it may run on, and its quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """A container's share of processor time in cores; infinite where there is none. Versions 2 and 1."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period")
            )
        return int(quota) / int(period) if quota.strip() not in ("max", "-1") else math.inf
    except (OSError, ValueError):
        return math.inf
