"""Measure any task on files of annotation, beside a baseline that any model must beat.

What a file holds is told from its first row. Readers are those of `training`, measures those of `scoring`; relations
are left to `evaluation_relations`.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from spacy.language import Language

from .evaluation import (
    Evaluation,
    Kind,
    ask_all,
    examples_of,
    labels_of,
    only_task,
    ready,
    score_set,
    spread,
    using_threshold,
    with_sentences,
)
from .evaluation_relations import evaluate_facts, evaluate_tails
from .scoring.answers import NO_ANSWER, answer_report, best_answers
from .scoring.summaries import gold_summaries, lead, predicted_summary, rouge, rouge_scorer, summary_report
from .training.corpora import name_of, read_rows
from .training.task_corpora import QuestionCorpus, SummaryCorpus


def evaluate(
    nlp: Language, paths: Iterable[Path], *, threshold: float | None = None, limit: int = 0
) -> Iterator[tuple[str, Evaluation]]:
    """Evaluate files one after the other, each with the component of its task.

    nlp: A pipeline with at least one component of ours; those that are missing are added and borrow its network.
    paths: Files of JSON lines, plain or gzipped. All are looked into before the first is evaluated.
    threshold: The lowest score of what is found; None leaves each component's own, and takes the best tail of all
        where head and relation are given. Labels with thresholds of their own keep them.
    limit: Texts of each file (rows or, of questions, paragraphs), spread over it; 0 for all.
    YIELDS: The name of each file without endings, and what was measured. Raises ValueError for a file that holds
        nothing that can be evaluated and for two of the same name, ImportError where summaries lack `rouge-score`.
    """
    for name, (path, kind) in files_by_name(paths).items():
        yield name, EVALUATORS[kind](nlp, path, threshold, limit)


def files_by_name(paths: Iterable[Path]) -> dict[str, tuple[Path, Kind]]:
    """Each file and what it holds, by its name without endings. Raises what `evaluate` raises for a file."""
    files: dict[str, tuple[Path, Kind]] = {}
    for path in paths:
        if name_of(path) in files:
            raise ValueError(f"Two files are named {name_of(path)}. Rename one, or evaluate them one at a time.")
        files[name_of(path)] = path, kind_of(path)
    if any(kind == "summaries" for _, kind in files.values()):
        rouge_scorer()
    return files


def kind_of(path: Path) -> Kind:
    """What a file holds, by its first row. Raises ValueError for anything that can't be evaluated."""
    row = next(read_rows(path, lambda row: row), None)
    keys = set(row) if isinstance(row, dict) else set()
    if "paragraphs" in keys:
        return "questions"
    if "text" in keys and keys & {"summary", "summaries"}:
        return "summaries"
    if {"tokens", "relations"} <= keys:
        return "facts"
    if {"tokens", "head", "tail", "relation"} <= keys:
        return "tails"
    if {"tokens", "spans"} <= keys or "tokenized_text" in keys:
        return "entities"
    raise ValueError(
        f"{path} can't be evaluated. Expected rows with 'paragraphs' (questions), 'text' and 'summary', 'tokens' and "
        f"'relations', 'tokens', 'head', 'tail' and 'relation', or 'tokens' and 'spans' (entities); the first has "
        f"{', '.join(map(repr, sorted(keys))) or 'none of these'}."
    )


def evaluate_entities(nlp: Language, path: Path, threshold: float | None, limit: int) -> Evaluation:
    """Micro precision, recall and F1, as `benchmark` measures them; the label "else" is left out."""
    rows = list(read_rows(path))
    ready(nlp, "gliner_ner")
    with using_threshold(nlp, threshold), only_task(nlp, "gliner_ner"):
        score = score_set(nlp, spread(rows, limit), labels_of(rows) - {"else"})
    counts = {"sentences": score.n_rows, "entities": score.n_gold}
    return Evaluation("entities", counts, {"p": score.precision, "r": score.recall, "f": score.f1})


def evaluate_questions(nlp: Language, path: Path, threshold: float | None, limit: int) -> Evaluation:
    """Exact match and F1 of SQuAD 2.0. Gold is the text in the file, wherever the tokens begin and end."""
    task = ready(nlp, "gliner_qa").task
    corpus = QuestionCorpus(path)
    rows = [{"paragraphs": [p]} for article in read_rows(path, corpus.check) for p in article["paragraphs"]]
    texts = ((task.given(e), row["paragraphs"][0]["qas"]) for row, e in examples_of(corpus, nlp, spread(rows, limit)))
    asked: list[tuple[str, list[str]]] = []
    n_paragraphs = 0
    for doc, qas in ask_all(nlp, "gliner_qa", texts, threshold):
        n_paragraphs += 1
        answers = best_answers(doc, task)
        for qa in qas:
            gold = [] if qa.get("is_impossible") else [answer["text"] for answer in qa.get("answers", ())]
            asked.append((answers.get(qa["question"], NO_ANSWER), gold))
    never = answer_report([(NO_ANSWER, gold) for _, gold in asked])
    counts = {"paragraphs": n_paragraphs, "questions": len(asked)}
    return Evaluation("questions", counts, answer_report(asked), {"no answer": never})


def evaluate_summaries(nlp: Language, path: Path, threshold: float | None, limit: int) -> Evaluation:
    """ROUGE of summaries; the baseline is the first three sentences. A pipeline without sentences gets some."""
    task = ready(nlp, "gliner_summarizer").task
    with_sentences(nlp)
    corpus = SummaryCorpus(path)
    rows = spread(list(read_rows(path, corpus.check)), limit)
    texts = ((task.given(example), example.reference) for _, example in examples_of(corpus, nlp, rows))
    ours, leads = [], []
    for doc, reference in ask_all(nlp, "gliner_summarizer", texts, threshold):
        gold = gold_summaries(reference, task)
        if gold:
            ours.append(rouge(predicted_summary(doc, task), gold))
            leads.append(rouge(lead(doc), gold))
    return Evaluation("summaries", {"texts": len(ours)}, summary_report(ours), {"lead-3": summary_report(leads)})


EVALUATORS: dict[Kind, Callable[[Language, Path, float | None, int], Evaluation]] = {
    "entities": evaluate_entities,
    "tails": evaluate_tails,
    "facts": evaluate_facts,
    "questions": evaluate_questions,
    "summaries": evaluate_summaries,
}


def to_json(evaluations: dict[str, Evaluation]) -> str:
    """All that was measured, by file."""
    files = {name: asdict(evaluation) for name, evaluation in evaluations.items()}
    return json.dumps({"files": files}, indent=2, ensure_ascii=False) + "\n"
