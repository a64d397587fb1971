"""What the numbers of a benchmark depend on: the machine, and the versions of what ran on it."""

import os
import platform
import re
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = "spacy-gliner gliner gliner-spacy fast-gliner onnxruntime openvino torch transformers spacy".split()

UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # of those that matter


def machine(device: str = "cpu", precision: str = "float32") -> dict[str, Any]:
    """The processor, the threads, the versions of what is installed, and the commit of this package.

    Results of an accelerator, or of another number format, stand in tables of their own.
    """
    import torch

    name = processor() if device == "cpu" else torch.cuda.get_device_name(device)
    name += "" if precision == "float32" else f", {precision}"
    known = {"processor": name, "threads": torch.get_num_threads(), **dict(_versions())}
    return known | ({"commit": found} if (found := commit()) else {})


def commit() -> str:
    """Of the repository that this stands in, with a plus where something is changed; empty outside of one."""
    describe = ["git", "describe", "--always", "--exclude", "*", "--dirty=+"]
    try:
        found = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()


def processor() -> str:
    """Its name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    known = dict(re.findall(r"^(.+?)\s*: (.*)$", cpuinfo.read_text(), flags=re.MULTILINE))
    units = [unit for unit in UNITS if unit in known.get("flags", "").split()]
    name = known.get("model name", platform.machine())
    return f"{name}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, {' '.join(units)}"


def peak_memory() -> float:
    """The largest resident size of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells may be that of the process which began this one
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text())[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found
