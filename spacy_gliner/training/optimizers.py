"""Two learning rates and their schedules, as a thinc optimizer that the shim reads its settings from."""

import math
from collections.abc import Iterator

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
    step = 0
    while True:
        if step < warmup_steps:
            yield rate * (step + 1) / warmup_steps
        else:
            progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
            yield final_rate + (rate - final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
        step += 1
