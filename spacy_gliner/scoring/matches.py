"""The scorer of `gliner_openie`: exact spans, prompt by prompt."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..pipeline.results import get_matches, groups_of
from ..pipeline.tasks import Task

MEASURES = ("p", "r", "f")


def make_match_scorer() -> Callable[..., dict[str, Any]]:
    """`score_matches`, for a config: `spacy_gliner.match_scorer.v1`."""
    return score_matches


def score_matches(examples: Iterable[Example], *, task: Task | None = None, **kwargs: Any) -> dict[str, Any]:
    """Precision, recall and F1 of the spans found for the references' prompts; other prompts are not looked at.

    task: Says which span groups hold the predictions; None for all.
    RETURNS: `matches_p`, `matches_r`, `matches_f` over all spans, and `matches_per_prompt`. None where no reference
        has prompts.
    """
    per_prompt: dict[str, PRFScore] = {}
    for example in examples:
        predicted = predicted_matches(example.predicted, task)
        for prompt, matches in get_matches(example.reference).items():
            gold = [match.span for match in matches]
            score = per_prompt.setdefault(prompt, PRFScore())
            score.score_set(_places(predicted.get(prompt, ())), _places(gold))
    if not per_prompt:
        return {f"matches_{key}": None for key in (*MEASURES, "per_prompt")}
    total = sum(per_prompt.values(), PRFScore()).to_dict()
    of_prompts = {prompt: score.to_dict() for prompt, score in per_prompt.items()}
    return {f"matches_{key}": total[key] for key in MEASURES} | {"matches_per_prompt": of_prompts}


def predicted_matches(doc: Doc, task: Task | None) -> dict[str, list[Span]]:
    """The spans that the component of this task found for each prompt."""
    matches: dict[str, list[Span]] = {}
    for group in groups_of(doc, "gliner_openie"):
        if task is None or group.attrs.get("key") == task.spans_key:
            matches.setdefault(group.attrs["prompt"], []).extend(group)
    return matches


def _places(spans: Sequence[Span]) -> set[tuple[int, int]]:
    """Positions in characters, which do not depend on the tokenizer."""
    return {(span.start_char, span.end_char) for span in spans}
