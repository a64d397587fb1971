"""Zero-shot named entities, and more, as spaCy components: one small encoder, any label you can name."""

from .types import Query, ScoredSpan

__version__ = "0.1.0"
__all__ = ["Query", "ScoredSpan", "__version__"]
