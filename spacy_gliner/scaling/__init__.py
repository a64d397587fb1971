"""More texts than one process reads: files cut into parts, each part annotated and written whole or not at all.

Nothing here knows an engine: `spacy_gliner.ray` hands the parts to Ray, and a Spark job calls `annotate_texts`.
"""

from .annotating import annotate_texts
from .working import load_once

__all__ = ["annotate_texts", "load_once"]
