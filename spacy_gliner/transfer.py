"""Tensors on their way to an accelerator, and results on their way back, while it goes on computing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor


def on_accelerator(device: torch.device) -> bool:
    """Whether few large steps are faster there than small ones whose data stay near, and it is dear to wait."""
    return device.type != "cpu"


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. From the host to a CUDA device, nobody waits for what that was asked before."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def reading(result: Tensor) -> AbstractContextManager[None]:
    """In which a result that was just asked for can be read later, without waiting for what is asked after it.

    On a CPU a result is there at once.
    """
    if not result.is_cuda:
        return nullcontext()
    asked = torch.cuda.Event()
    asked.record(torch.cuda.current_stream(result.device))
    return _beside(asked, result.device)


@contextmanager
def _beside(event: torch.cuda.Event, device: torch.device) -> Iterator[None]:
    """On a stream that waits for one event only."""
    stream = _stream(device)
    with torch.cuda.stream(stream):
        stream.wait_event(event)
        try:
            yield
        finally:
            stream.synchronize()  # no memory is to be given away that is still read here


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One for all, as memory that was used on one stream is not used on another."""
    return torch.cuda.Stream(device)
