"""What works on this machine, what will be slow, what is broken, and what to do: python -m minivid doctor.

Nothing is downloaded and nothing is changed. Each check imports what it looks at by itself, so that a missing
package is a finding, not an end.
"""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from minivid import folders, processors
from minivid.files import is_writable

FINE, SLOW, BROKEN = "ok", "slow", "BROKEN"
PACKAGES = ("numpy", "matplotlib", "einops", "tqdm", "safetensors", "PIL", "IPython", "ipywidgets",
            "jupyterlab", "ipykernel", "filelock", "av", "pooch")  # fmt: skip
GIGABYTE = 1e9


class Finding(NamedTuple):
    """What was looked at, how it is (FINE, SLOW or BROKEN), what was found, and what to do."""

    what: str
    how: str
    found: str
    advice: str = ""


def run() -> int:
    """Print all findings, a line each, with advice below those that want it. Returns the exit status."""
    findings = list(examine())
    for what, how, found, advice in findings:
        print(f"{what:<13} {how:<7} {found}")
        if advice:
            print(f"{'':<13} {'->':<7} {advice}")
    broken = sum(one.how == BROKEN for one in findings)
    slow = sum(one.how == SLOW for one in findings)
    print("All is well." if not broken + slow else f"{broken} broken, {slow} slow.")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """The findings of all checks. A check that cannot be made is broken, and says why."""
    for what, check in CHECKS.items():
        try:
            yield Finding(what, *check())
        except Exception as error:
            advice = "Install the course again: see docs/install.md."
            yield Finding(what, BROKEN, f"{type(error).__name__}: {error}", advice)


def _python() -> tuple[str, ...]:
    return FINE, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _package() -> tuple[str, ...]:
    """A notebook of one working copy must not run the code of another."""
    here = Path.cwd()
    beside = next((at for at in (here, *here.parents) if (at / "minivid" / "pipeline.py").exists()), None)
    if beside not in (None, folders.ROOT.resolve()):
        return (
            BROKEN,
            f"{folders.PACKAGE}, not that of {beside}",
            "Run `make lab` here, or install it here.",
        )
    return FINE, str(folders.PACKAGE)


def _packages() -> tuple[str, ...]:
    missing = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing.append(f"{name} ({error})")
    if missing:
        return BROKEN, f"missing: {'; '.join(missing)}", "python -m pip install -r requirements.txt"
    return FINE, f"{len(PACKAGES)} that the course needs"


def _torch() -> tuple[str, ...]:
    import torch

    from minivid import training

    where = training.device()
    return FINE, f"{torch.__version__}, computes on {where.type}"


def _threads() -> tuple[str, ...]:
    import torch

    granted, seen, used = processors.granted(), os.cpu_count(), torch.get_num_threads()
    found = f"{used} threads on {granted} of {seen} cores"
    if used > granted:
        return SLOW, found, f"Set OMP_NUM_THREADS={granted} before PyTorch is loaded."
    if granted < 2:
        return SLOW, found, "The running times in the course are those of two cores."
    return FINE, found


def _bf16() -> tuple[str, ...]:
    from minivid import training

    if training.has_bf16(training.device()):
        return FINE, "the processor computes in it"
    return SLOW, "none", "Live training in the notebooks takes up to twice as long."


def _compiler() -> tuple[str, ...]:
    import warnings

    from minivid import training

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        works = training.compiles(training.device())
    if works:
        return FINE, "torch.compile works"
    return SLOW, "torch.compile does not work", "Only long trainings use it; on Linux, install g++."


def _disk() -> tuple[str, ...]:
    free = shutil.disk_usage(_existing(folders.runs())).free / GIGABYTE
    if free < 0.2:
        return BROKEN, f"{free:.1f} GB free for runs", "Free some space."
    if free < 2:
        return SLOW, f"{free:.1f} GB free for runs", "Training every model takes 2 GB."
    return FINE, f"{free:.0f} GB free for runs"


def _memory() -> tuple[str, ...]:
    lines = Path("/proc/meminfo")
    if not lines.exists():
        return FINE, "not measured on this system; 3 GB are enough"
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines.read_text().splitlines()}
    free = kilobytes["MemAvailable"] * 1024 / GIGABYTE
    limits = [processors.CGROUP / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
    texts = [limit.read_text().strip() for limit in limits if limit.exists()]
    free = min([free, *(int(text) / GIGABYTE for text in texts if text.isdigit())])
    if free < 3:
        return (SLOW, f"{free:.1f} GB available", "Close other programs: some notebooks take up to 3 GB.")
    return FINE, f"{free:.0f} GB available"


def _runs() -> tuple[str, ...]:
    return _writable(folders.runs(), "MINIVID_RUNS")


def _writable(folder: Path, variable: str) -> tuple[str, ...]:
    if is_writable(folder):
        return FINE, f"{folder} can be written"
    return BROKEN, f"{folder} cannot be written", f"Name another folder: {variable}=FOLDER"


def _clips() -> tuple[str, ...]:
    import torch

    from minivid import show

    clip, sound = torch.zeros(3, 5, 16, 16), torch.zeros(5 * 1024)
    sizes = [len(encode(clip, sound)) for encode in (show.encode_mp4, show.encode_webm)]
    show.encode_mp4(clip, sound, audio_codec="mp3")
    return FINE, f"mp4 and webm can be written, with sound ({sum(sizes):,} bytes)"


def _weights() -> tuple[str, ...]:
    from minivid import recipes, weights

    bad = []
    for name in recipes.shipped():
        try:
            if not weights.matches_card(name, weights.card(name)):
                bad.append(name)
        except ValueError:
            bad.append(name)
    if not bad:
        return FINE, f"{len(recipes.shipped())} models, all whole"
    return BROKEN, f"missing or damaged: {', '.join(bad)}", weights.how_to_restore(bad[0])


def _existing(folder: Path) -> Path:
    return next(at for at in (folder.absolute(), *folder.absolute().parents) if at.exists())


CHECKS: dict[str, Callable[[], tuple[str, ...]]] = {
    "Python": _python,
    "minivid": _package,
    "packages": _packages,
    "PyTorch": _torch,
    "threads": _threads,
    "bf16": _bf16,
    "compiler": _compiler,
    "disk": _disk,
    "memory": _memory,
    "runs": _runs,
    "clips": _clips,
    "weights": _weights,
}

if __name__ == "__main__":
    sys.exit(run())
