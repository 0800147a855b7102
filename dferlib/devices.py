"""Which processor does the work."""

from typing import TYPE_CHECKING

from dferlib.errors import InputError, choose

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> "torch.device":
    """Return the device of that name; "auto" is a GPU where there is one, otherwise the CPU.

    Raises:
        InputError: there is no device of that name, or this machine has none.
    """
    choose("device", name, DEVICES)
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in present.items() if there), "cpu")
    elif not present.get(name, True):
        raise InputError(f"this machine has no {name} device that torch can use: choose auto or cpu")
    return torch.device(name)
