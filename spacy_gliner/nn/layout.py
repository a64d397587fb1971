"""How the weights of Linears lie in memory, which is nobody's business but the processor's: shape and values stay.

Few rows, as of one short text, are multiplied faster where the weights of each input lie together, by up to a quarter;
of hundreds of rows the time is the same. Training and other number formats expect those of each output together.
Sums are rounded a little differently, so that a network always predicts in one way.
"""

import torch
from torch import nn

from .onednn import has_faster_onednn


def by_input(network: nn.Module) -> None:
    """For prediction in float32 on a CPU. With MKL, Linears that widen would gain nothing or lose, and stay."""
    by_onednn = has_faster_onednn()
    for linear in network.modules():
        if isinstance(linear, nn.Linear) and (by_onednn or linear.out_features <= linear.in_features):
            if linear.weight.device.type == "cpu" and linear.weight.dtype == torch.float32:
                linear.weight.data = linear.weight.data.T.contiguous().T


def by_output(network: nn.Module) -> None:
    """As it was, for all else, and gradients with it: optimizers go through both in the order of memory."""
    for linear in network.modules():
        if isinstance(linear, nn.Linear) and not linear.weight.is_contiguous():
            linear.weight.data = linear.weight.data.contiguous()
            if linear.weight.grad is not None:
                linear.weight.grad = linear.weight.grad.contiguous()
