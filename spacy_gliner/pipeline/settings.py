"""The settings that all factories share, with their defaults."""

from collections.abc import Callable
from typing import Any
from weakref import proxy

from spacy.language import Language
from thinc.api import Config

from ..ml.architectures import GlinerModel, connect
from .extractor import Extractor
from .tasks import Task

SHARED = """
[pipe]
label_thresholds = []
spans_key = null
max_pieces = 2048
device = "auto"

[pipe.windows]
@misc = "spacy_gliner.strided_windows.v1"

[pipe.sample_labels]
@misc = "spacy_gliner.sample_labels.v1"

[pipe.loss]
@misc = "spacy_gliner.focal_loss.v1"

[pipe.model]
@architectures = "spacy_gliner.GLiNER.v1"

[pipe.model.source]
@misc = "spacy_gliner.Checkpoint.v1"
"""


def with_shared(own: dict[str, Any]) -> dict[str, Any]:
    """The default config of a factory: its own settings, and those that all have."""
    return own | dict(Config().from_str(SHARED)["pipe"])


def make_extractor(nlp: Language, name: str, task: Task, model: GlinerModel, **settings: Any) -> Extractor:
    """The component of a factory, which may borrow its network from another component of the pipeline."""
    connect(model, finder(nlp))
    return Extractor(nlp.vocab, model, name, task=task, **settings)


def finder(nlp: Language) -> Callable[[str], Any]:
    """A function that gives the component of a name in this pipeline; None where there is none.

    It raises ReferenceError when the pipeline is gone.
    """
    pipeline = proxy(nlp)

    def find(name: str) -> Any:
        return dict(pipeline.components).get(name)

    return find
