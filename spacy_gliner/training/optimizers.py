"""Two learning rates and their schedules, as a thinc optimizer that the shim reads its settings from."""

import math
from collections.abc import Iterable, Iterator
from itertools import count

from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq


class AdamW(Optimizer):
    """AdamW with a rate for the pretrained backbone and another for everything new: `spacy_gliner.AdamW.v1`.

    Components of this package step with torch's AdamW and these settings; others, with thinc's.

    learn_rate: The backbone's, and that of other components.
    head_learn_rate: Of the projection, BiLSTM and head.
    layer_decay: What the rate is multiplied by from each layer of the backbone to the one below; 1 for no difference.
    weight_decay: Of matrices; biases and norms have none.
    grad_clip: The largest global norm of the gradient; 0 for no limit.
    """

    head_learn_rate: float
    layer_decay: float

    def __init__(
        self,
        learn_rate: FloatOrSeq = 1e-5,
        head_learn_rate: FloatOrSeq = 5e-5,
        weight_decay: float = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        grad_clip: float = 1.0,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__(
            learn_rate,
            L2=weight_decay,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            grad_clip=grad_clip,
            use_averages=False,
            L2_is_weight_decay=True,
        )
        self.layer_decay = layer_decay
        self._set_attr_or_schedule("head_learn_rate", head_learn_rate)


def warmup_cosine(rate: float, warmup_steps: int, total_steps: int, final_rate: float = 0.0) -> Iterator[float]:
    """Rise linearly to `rate`, then fall along half a cosine to `final_rate`: `spacy_gliner.warmup_cosine.v1`."""
    fall = (0.5 * (1 + math.cos(math.pi * progress)) for progress in _progress(warmup_steps, total_steps))
    return _schedule(rate, warmup_steps, fall, final_rate)


def warmup_linear(rate: float, warmup_steps: int, total_steps: int, final_rate: float = 0.0) -> Iterator[float]:
    """Rise linearly to `rate`, then fall along a line to `final_rate`: `spacy_gliner.warmup_linear.v1`."""
    fall = (1 - progress for progress in _progress(warmup_steps, total_steps))
    return _schedule(rate, warmup_steps, fall, final_rate)


def _schedule(rate: float, warmup_steps: int, fall: Iterable[float], final_rate: float) -> Iterator[float]:
    yield from (rate * (step + 1) / warmup_steps for step in range(warmup_steps))
    yield from (final_rate + (rate - final_rate) * share for share in fall)


def _progress(warmup_steps: int, total_steps: int) -> Iterator[float]:
    """From 0 to 1 after the warm-up, and 1 from then on."""
    return (min(step / max(total_steps - warmup_steps, 1), 1.0) for step in count())
