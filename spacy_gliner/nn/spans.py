"""How spans are represented: by two markers; or otherwise, `words (W, H) -> spans (W, K, H)`, all widths of a start.

They are the span modes of the reference library. What reaches over the end of the text means nothing. Where the
reference lets padding take part (a mean, a last word), the text alone does here: so it is with one text at a time.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from ..types import Reps
from .context import ContextEncoder
from .layers import Perceptron

QUERY_WIDTH = 128


def in_context(context: ContextEncoder | None, reps: Reps) -> Tensor:
    """The words, read by a context encoder where there is one."""
    return reps.words if context is None else context(reps.words, reps.word_lengths)


class Markers(nn.Module):
    """`out_project(relu([project_start(first word); project_end(last word)]))` (GLiNER, 2.2).

    markers: "markerV0" (hidden layers four times as wide, `out_project` a perceptron) or the older "marker" (twice as
        wide, `out_project` one Linear).
    context: Reads the words first.
    """

    def __init__(
        self,
        width: int,
        dropout: float,
        markers: Literal["markerV0", "marker"] = "markerV0",
        context: ContextEncoder | None = None,
    ) -> None:
        super().__init__()
        self.context = context
        n_hidden = (4 if markers == "markerV0" else 2) * width
        self.project_start = Perceptron(width, n_hidden, width, dropout)
        self.project_end = Perceptron(width, n_hidden, width, dropout)
        self.out_project: Perceptron | nn.Linear = (
            Perceptron(2 * width, n_hidden, width, dropout) if markers == "markerV0" else nn.Linear(2 * width, width)
        )

    def represent(self, reps: Reps, spans: Tensor) -> Tensor:
        """Spans (N, 2) by their first and last word, of any width, -> (N, D)."""
        words = in_context(self.context, reps)
        starts, ends = self.project_start(words[spans[:, 0]]), self.project_end(words[spans[:, 1]])
        represented: Tensor = self.out_project(torch.cat([starts, ends], dim=1).relu())
        return represented


class ContextMarkers(nn.Module):
    """`out_project(relu([project_start(first word); project_end(last word); context]))`.

    context: "mean", of the words of the text ("markerV1"); or "last", its last word, projected ("markerV2").
    """

    def __init__(self, width: int, max_width: int, dropout: float, *, context: str) -> None:
        super().__init__()
        self.max_width = max_width
        self.context = context
        self.project_start, self.project_end, projected = (
            Perceptron(width, 4 * width, width, dropout) for _ in range(3)
        )
        if context == "mean":
            self.project_first = projected  # published with these networks, and never used
        else:
            self.project_context = projected
        self.out_project = Perceptron(3 * width, 4 * width, width, dropout)

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        context = words.mean(dim=0) if self.context == "mean" else self.project_context(words[-1])
        last = torch.arange(len(words), device=words.device)[:, None] + torch.arange(
            self.max_width, device=words.device
        )
        ends = self.project_end(words)[last.clamp(max=len(words) - 1)]
        starts = self.project_start(words)[:, None].expand_as(ends)
        spans: Tensor = self.out_project(torch.cat([starts, ends, context.expand_as(ends)], dim=-1).relu())
        return spans


class Query(nn.Module):
    """`relu(project(first word ⊙ query of the width))` ("query")."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__()
        self.query_seg = nn.Parameter(torch.randn(width, max_width))
        self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        spans: Tensor = self.project(words[:, None] * self.query_seg.T)
        return spans


class Widths(nn.Module):
    """`relu(mlp(first word))`, which gives all widths at once ("mlp")."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Linear(width, width * max_width)

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        spans: Tensor = self.mlp(words).relu().view(len(words), -1, words.shape[1])
        return spans


class WidthQueries(nn.Module):
    """`relu(project([first word; query of the width]))` ("cat")."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__()
        self.query_seg = nn.Parameter(torch.randn(QUERY_WIDTH, max_width))
        self.project = nn.Sequential(nn.Linear(width + QUERY_WIDTH, width), nn.ReLU())

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        queries = self.query_seg.reshape(-1, QUERY_WIDTH)  # a reshape, not a transpose: so they were trained
        shape = (len(words), len(queries))
        joined = torch.cat([words[:, None].expand(*shape, -1), queries.expand(len(words), -1, -1)], dim=-1)
        spans: Tensor = self.project(joined)
        return spans


class Convolutions(nn.Module):
    """`project(relu(a convolution of the span's words))`, one kernel for each width ("conv_conv")."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Convolution(width, size) for size in range(2, max_width + 1))
        self.project = _project(width)

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        spans: Tensor = self.project(torch.stack([words, *(conv(words) for conv in self.convs)], dim=1))
        return spans


class Pooling(nn.Module):
    """`project(relu(the span's words, pooled))` ("conv_max", "conv_mean", "conv_sum")."""

    def __init__(self, width: int, max_width: int, dropout: float, *, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.max_width = max_width
        self.pool = pool
        self.project = _project(width)

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        pooled = [
            self.pool(pad(words, (0, 0, 0, size - 1)).unfold(0, size, 1)) for size in range(1, self.max_width + 1)
        ]
        spans: Tensor = self.project(torch.stack(pooled, dim=1))
        return spans


class SharedConvolution(nn.Module):
    """`project(relu(a convolution of the span's words))`; all widths share one kernel ("conv_share")."""

    def __init__(self, width: int, max_width: int, dropout: float) -> None:
        super().__init__()
        self.conv_weigth = nn.Parameter(torch.empty(width, width, max_width))  # the name in published files
        nn.init.kaiming_uniform_(self.conv_weigth)
        self.project = _project(width)

    def forward(self, words: Tensor) -> Tensor:
        """(W, H) -> (W, K, H)."""
        sizes = range(1, self.conv_weigth.shape[2] + 1)
        convolved = [_convolve(words, self.conv_weigth[:, :, :size], None) for size in sizes]
        spans: Tensor = self.project(torch.stack(convolved, dim=1))
        return spans


class _Convolution(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, size)

    def forward(self, words: Tensor) -> Tensor:
        return _convolve(words, self.conv.weight, self.conv.bias)


def _convolve(words: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """words (W, H), kernel (H, H, size) -> (W, H); the words from each one on, zeros after the text."""
    return conv1d(pad(words, (0, 0, 0, kernel.shape[2] - 1)).T[None], kernel, bias)[0].T


def _project(width: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Linear(width, width))


SPANS: dict[str, Callable[[int, int, float], nn.Module]] = {
    "markerV1": lambda *shape: ContextMarkers(*shape, context="mean"),
    "markerV2": lambda *shape: ContextMarkers(*shape, context="last"),
    "query": Query,
    "mlp": Widths,
    "cat": WidthQueries,
    "conv_conv": Convolutions,
    "conv_max": lambda *shape: Pooling(*shape, pool=lambda spans: spans.amax(dim=-1)),
    "conv_mean": lambda *shape: Pooling(*shape, pool=lambda spans: spans.mean(dim=-1)),
    "conv_sum": lambda *shape: Pooling(*shape, pool=lambda spans: spans.sum(dim=-1)),
    "conv_share": SharedConvolution,
}
