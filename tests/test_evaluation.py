"""Numbers of the benchmark and of the scorer, on answers that are known."""

import json

import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_gliner.evaluation import average, benchmark, gliner_pipes, using_threshold
from spacy_gliner.scoring.entities import score_entities
from spacy_gliner.types import ScoredSpan

ROWS = [
    {"tokens": ["Ada", "met", "Bill", "Gates"], "spans": [[0, 0, "person"], [2, 3, "person"]]},
    {"tokens": ["In", "New", "York"], "spans": [[1, 2, "city"], [1, 2, "city"], [0, 0, "else"]]},
    {"tokens": ["Nothing", "here"], "spans": []},
]

# one right, one with a wrong border; one right, one with a wrong label; one too many
ANSWERS = {
    "Ada": [ScoredSpan(0, 1, "person", 0.9), ScoredSpan(3, 4, "person", 0.8)],
    "In": [ScoredSpan(0, 1, "person", 0.6), ScoredSpan(1, 3, "city", 0.9)],
    "Nothing": [ScoredSpan(0, 1, "city", 0.7)],
}


@pytest.fixture
def nlp(make_nlp):
    """A pipeline that gives the answers above. What it was asked is noted in `asked`."""
    nlp = make_nlp(labels=["never asked"])
    pipe = nlp.get_pipe("gliner_ner")
    nlp.asked = []

    def predict(docs):
        nlp.asked.extend(doc._.gliner_labels for doc in docs)
        return [[span for span in ANSWERS[doc[0].text] if span.score > pipe.cfg["threshold"]] for doc in docs]

    pipe.predict = predict
    return nlp


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "small.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf8")
    return path


def test_exact_matches_are_counted_over_all_rows(nlp, dataset):
    score = benchmark(nlp, [dataset])["small"]
    assert (score.n_rows, score.n_gold, score.n_predicted) == (3, 3, 5)
    assert (score.precision, score.recall) == (2 / 5, 2 / 3)
    assert score.f1 == pytest.approx(2 * 0.4 * (2 / 3) / (0.4 + 2 / 3))


def test_every_row_is_asked_for_all_labels_of_its_dataset_except_excluded_ones(nlp, dataset):
    benchmark(nlp, [dataset])
    assert nlp.asked == [["city", "person"]] * 3
    nlp.asked.clear()
    benchmark(nlp, [dataset], exclude_labels=["city"])
    assert nlp.asked == [["else", "person"]] * 3


def test_excluded_labels_are_no_gold(nlp, dataset):
    assert benchmark(nlp, [dataset], exclude_labels=[])["small"].n_gold == 4
    assert benchmark(nlp, [dataset], exclude_labels=["else", "person"])["small"].n_gold == 1


def test_a_threshold_holds_for_the_benchmark_alone(nlp, dataset):
    score = benchmark(nlp, [dataset], threshold=0.85)["small"]
    assert (score.n_predicted, score.precision, score.recall) == (2, 1.0, 2 / 3)
    assert nlp.get_pipe("gliner_ner").cfg["threshold"] == 0.5


def test_datasets_are_scored_apart_and_averaged_without_weights(nlp, dataset):
    other = dataset.with_name("other.jsonl")
    other.write_text(json.dumps(ROWS[2]), encoding="utf8")
    scores = benchmark(nlp, [dataset, other])
    assert list(scores) == ["small", "other"]
    assert (scores["other"].precision, scores["other"].recall, scores["other"].f1) == (0.0, 0.0, 0.0)
    assert average(scores) == pytest.approx({"precision": 0.2, "recall": 1 / 3, "f1": scores["small"].f1 / 2})


def test_tokens_of_the_dataset_are_the_tokens_of_the_doc(make_nlp, dataset):
    nlp = make_nlp()
    seen = []
    nlp.get_pipe("gliner_ner").predict = lambda docs: [seen.append([t.text for t in doc]) or [] for doc in docs]
    benchmark(nlp, [dataset])
    assert seen == [row["tokens"] for row in ROWS]


def test_a_dataset_that_cannot_be_read_is_found_before_anything_is_asked(nlp, dataset):
    broken = dataset.with_name("z.jsonl")
    broken.write_text("[1]", encoding="utf8")
    with pytest.raises(ValueError, match="z.jsonl, line 1"):
        benchmark(nlp, [dataset, broken])
    assert nlp.asked == []


def test_only_our_components_get_the_threshold(make_nlp):
    nlp = make_nlp()
    nlp.add_pipe("entity_ruler", first=True)
    assert gliner_pipes(nlp) == [nlp.get_pipe("gliner_ner")]
    with using_threshold(nlp, 0.9):
        assert nlp.get_pipe("gliner_ner").cfg["threshold"] == 0.9
    with using_threshold(nlp, None):
        assert nlp.get_pipe("gliner_ner").cfg["threshold"] == 0.5


def make_example(vocab, predicted, gold, key="sc"):
    docs = []
    for spans in (predicted, gold):
        doc = Doc(vocab, words=["New", "York", "City", "Hall"])
        doc.spans[key] = [Span(doc, start, end, label) for start, end, label in spans]
        docs.append(doc)
    return Example(*docs)


def test_span_groups_are_scored_where_the_gold_has_them(make_nlp):
    task = make_nlp(spans_key="sc").get_pipe("gliner_ner").task
    vocab = make_nlp().vocab
    nested = [(0, 2, "city"), (0, 4, "building")]
    examples = [make_example(vocab, nested, nested), make_example(vocab, [(0, 3, "city")], [])]
    scores = score_entities(examples, task=task)
    assert (scores["spans_sc_p"], scores["spans_sc_r"]) == (2 / 3, 1.0)
    assert scores["spans_sc_per_type"]["city"]["p"] == 0.5
    assert scores["ents_f"] is None
    other = [make_example(vocab, nested, nested, key="other")]
    assert "spans_sc_f" not in score_entities(other, task=task)
