"""Which machine this is, what runs on it, and how much of it others had meanwhile."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = ("dferlib", "torch", "torchvision", "transformers", "timesformer-pytorch")
BUSY = 0.1  # the share of the processor that others may have before a measurement counts as disturbed


def processor(device: torch.device) -> str:
    """The name of what computes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if platform.system() == "Darwin":
        return subprocess.check_output(("sysctl", "-n", "machdep.cpu.brand_string"), text=True).strip()
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", file.read_text()) if file.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def machine_name(device: torch.device) -> str:
    """The name of the file of results: processor and threads, in small letters."""
    words = re.sub(r"\((?:r|tm|c)\)", "", processor(device).lower())
    words += "" if device.type == "cuda" else f" {torch.get_num_threads()} threads"
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def describe(device: torch.device) -> dict[str, Any]:
    """What a result depends on beside the code."""
    return {
        "name": machine_name(device),
        "device": device.type,
        "processor": processor(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Others:
    """How much of the processor others have, from when this is made."""

    def __init__(self) -> None:
        self.load = psutil.getloadavg()[0]
        self.begin = self._seconds()

    @staticmethod
    def _seconds() -> tuple[float, float]:
        """Seconds that all cores had until now, and those that went to others than this process and its children."""
        every, mine = psutil.cpu_times(), os.times()
        idle = every.idle + getattr(every, "iowait", 0)
        # time of guests is counted a second time, as time of the user
        total = sum(every) - getattr(every, "guest", 0) - getattr(every, "guest_nice", 0)
        return total, total - idle - sum(mine[:4])

    def share(self) -> float:
        """The share of the cores' time since then that others had."""
        (total, others), (total_before, others_before) = self._seconds(), self.begin
        return max(0.0, (others - others_before) / max(total - total_before, 1e-9))
