"""The scorer of `gliner_summarizer`: ROUGE with the package `rouge-score`, and the first sentences as a baseline.

Words are not stemmed (`use_stemmer=False`), which is the package's and Hugging Face `evaluate`'s default.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from statistics import fmean, pstdev
from typing import Any

from spacy.pipeline import Sentencizer
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..pipeline.results import GOLD_SUMMARY, get_summary, groups_of
from ..pipeline.tasks import Task

METRICS = ("rouge1", "rouge2", "rougeL")

Rouge = dict[str, float]  # the F-measure of each of the metrics, from 0 to 1


def make_summary_scorer() -> Callable[..., dict[str, Any]]:
    """`score_summaries`, for a config: `spacy_gliner.summary_scorer.v1`."""
    return score_summaries


def score_summaries(examples: Iterable[Example], *, task: Task | None = None, **kwargs: Any) -> dict[str, Any]:
    """ROUGE of the predicted summaries. References without a summary are left out.

    task: Says which span group holds the predictions; None for all.
    RETURNS: The keys of `summary_report`. Raises ImportError without the package `rouge-score`.
    """
    scored = []
    for example in examples:
        gold = gold_summaries(example.reference, task)
        if gold:
            scored.append(rouge(predicted_summary(example.predicted, task), gold))
    return summary_report(scored)


def summary_report(scored: Sequence[Rouge]) -> dict[str, float | None]:
    """`summary_rouge1`, `summary_rouge2`, `summary_rougeL`: means over texts, and `…_std`, their standard deviations.

    scored: ROUGE of each text. None for each key where there are none.
    """
    report: dict[str, float | None] = {}
    for metric in METRICS:
        values = [of_text[metric] for of_text in scored]
        report[f"summary_{metric}"] = fmean(values) if values else None
        report[f"summary_{metric}_std"] = pstdev(values) if values else None
    return report


def rouge(predicted: str, gold: Sequence[str]) -> Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L as F-measures; of several gold summaries, each metric takes the one that fits best.

    Raises ImportError without the package `rouge-score`.
    """
    scores = rouge_scorer().score_multi(list(gold), predicted)
    return {metric: scores[metric].fmeasure for metric in METRICS}


@cache
def rouge_scorer() -> Any:
    """What computes ROUGE. Raises ImportError that says what to install."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError("Scoring summaries needs a package more: pip install spacy-gliner[rouge]") from error
    return RougeScorer(METRICS, use_stemmer=False)


def gold_summaries(reference: Doc, task: Task | None) -> list[str]:
    """The summaries in words of their own or, without any, the one that the reference's spans make; none if empty."""
    given = reference.user_data.get(GOLD_SUMMARY)
    if given is None:
        groups = list(groups_of(reference, "gliner_summarizer"))
        own = [group for group in groups if task is not None and group.name == task.spans_key]
        given = _joined(own[0] if own else get_summary(reference))
    texts = [given] if isinstance(given, str) else given
    return [text for text in texts if text.strip()]


def predicted_summary(doc: Doc, task: Task | None) -> str:
    """The text of the summary that the component of this task wrote."""
    return _joined(get_summary(doc) if task is None else doc.spans.get(task.spans_key, ()))


def lead(doc: Doc, n: int = 3) -> str:
    """The first `n` sentences, which are hard to beat on news. Without sentence boundaries, spaCy's rules set them."""
    if not doc.has_annotation("SENT_START"):
        doc = Sentencizer()(doc.copy())
    return _joined(islice((sentence for sentence in doc.sents if sentence.text.strip()), n))


def _joined(spans: Iterable[Span]) -> str:
    return " ".join(span.text.strip() for span in spans)
