"""The scorer of `gliner_qa`: exact match and F1 as SQuAD 2.0 defines them.

The definitions are those of its `evaluate-v2.0.py`, except that values go from 0 to 1 and that a question without a
prediction counts as one that was not answered.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example

from ..pipeline.results import Answer, answers_in, get_answers, groups_of
from ..pipeline.tasks import Task

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
NO_ANSWER = ""


def make_answer_scorer() -> Callable[..., dict[str, Any]]:
    """`score_answers`, for a config: `spacy_gliner.answer_scorer.v1`."""
    return score_answers


def score_answers(examples: Iterable[Example], *, task: Task | None = None, **kwargs: Any) -> dict[str, Any]:
    """Compare the best answer to each of the references' questions with their answers.

    task: Says which span group holds the predictions; None for all.
    RETURNS: The keys of `answer_report`.
    """
    asked: list[tuple[str, list[str]]] = []
    for example in examples:
        predicted = best_answers(example.predicted, task)
        for question, answers in gold_answers(example.reference, task).items():
            asked.append((predicted.get(question, NO_ANSWER), [answer.span.text for answer in answers]))
    return answer_report(asked)


def answer_report(asked: Sequence[tuple[str, Sequence[str]]]) -> dict[str, float | None]:
    """The scores of predicted answers.

    asked: For each question the predicted answer ("" for none) and all gold ones (none for an unanswerable question).
    RETURNS: `answers_em` and `answers_f` over all questions, `answers_has_ans_em` and `answers_has_ans_f` over those
        that have an answer, `answers_no_ans_f` over those that have none (there exact match is the same), and
        `answers_no_answer_baseline_f`: what never answering would score. None where there are no such questions.
    """
    em = [best_of(exact_match, predicted, gold) for predicted, gold in asked]
    f1 = [best_of(token_f1, predicted, gold) for predicted, gold in asked]
    answerable = [bool(gold) for _, gold in asked]
    return {
        "answers_em": _mean(em),
        "answers_f": _mean(f1),
        "answers_has_ans_em": _mean(value for value, has_answer in zip(em, answerable, strict=True) if has_answer),
        "answers_has_ans_f": _mean(value for value, has_answer in zip(f1, answerable, strict=True) if has_answer),
        "answers_no_ans_f": _mean(value for value, has_answer in zip(f1, answerable, strict=True) if not has_answer),
        "answers_no_answer_baseline_f": _mean(best_of(token_f1, NO_ANSWER, gold) for _, gold in asked),
    }


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, words apart by one space.

    "The  Duke's, a" -> "dukes"
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def exact_match(predicted: str, gold: str) -> float:
    """1 if both are the same when normalised, else 0."""
    return float(normalize_answer(predicted) == normalize_answer(gold))


def token_f1(predicted: str, gold: str) -> float:
    """F1 of the words that both share, counted as often as they occur. Nothing equals only nothing."""
    ours, theirs = normalize_answer(predicted).split(), normalize_answer(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    n_shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * n_shared / (len(ours) + len(theirs))


def best_of(measure: Callable[[str, str], float], predicted: str, gold: Iterable[str]) -> float:
    """The best score over the gold answers that are more than punctuation and articles; "" where none is."""
    answers = [answer for answer in gold if normalize_answer(answer)] or [NO_ANSWER]
    return max(measure(predicted, answer) for answer in answers)


def gold_answers(reference: Doc, task: Task | None) -> dict[str, list[Answer]]:
    """The questions that a reference was annotated with: those of the task's group or, without it, of all groups."""
    groups = groups_of(reference, "gliner_qa")
    own = [group for group in groups if task is not None and group.name == task.spans_key]
    return answers_in(own[0]) if own else get_answers(reference)


def best_answers(doc: Doc, task: Task | None) -> dict[str, str]:
    """The best answer to each question that got one."""
    if task is None:
        answers = get_answers(doc)
    else:
        answers = answers_in(doc.spans[task.spans_key]) if task.spans_key in doc.spans else {}
    return {question: found[0].span.text for question, found in answers.items() if found}


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return fmean(values) if values else None
