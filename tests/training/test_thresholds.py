"""Thresholds are fitted to what is best on development data."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import DocBin, Span
from spacy.training import Example

from spacy_gliner.training.thresholds import GRID, best_limit, f1_at, find, fit_thresholds, micro_f1, of_labels
from spacy_gliner.types import ScoredSpan

# What the network "finds": the score of each word for each label.
SCORES = {
    "Ada": {"person": 0.9},
    "Bob": {"person": 0.35},
    "Tea": {"person": 0.3},
    "Rome": {"city": 0.95},
    "Oslo": {"city": 0.9},
    "June": {"city": 0.85},
}
GOLD = {"Ada": "person", "Bob": "person", "Rome": "city", "Oslo": "city"}


@pytest.fixture
def component(make_nlp, monkeypatch):
    pipe = make_nlp(labels=["person", "city"]).get_pipe("gliner_ner")

    def predict(docs):
        return [
            [
                ScoredSpan(token.i, token.i + 1, label, score)
                for token in doc
                for label, score in SCORES.get(token.text, {}).items()
                if score > pipe.cfg["threshold"]
            ]
            for doc in docs
        ]

    monkeypatch.setattr(pipe, "predict", predict)
    return pipe


def examples_of(vocab_of, words=SCORES, times=1):
    for _ in range(times):
        for word in words:
            doc = spacy.tokens.Doc(vocab_of.vocab, words=[word, "."])
            reference = doc.copy()
            reference.ents = [Span(reference, 0, 1, label=GOLD[word])] if word in GOLD else []
            yield Example(doc, reference)


def test_one_threshold_is_the_best_of_all(component):
    fitted = fit_thresholds(component, examples_of(component), per_label=False)
    assert 0.3 <= component.cfg["threshold"] < 0.35
    assert component.cfg["label_thresholds"] == {}
    assert fitted.before == pytest.approx(2 * 3 / (4 + 4))
    assert fitted.after == pytest.approx(2 * 4 / (5 + 4))


def test_labels_that_gain_get_a_threshold_of_their_own(component):
    fitted = fit_thresholds(component, examples_of(component), min_gold=2)
    assert fitted.label_thresholds.keys() == {"city"}
    assert 0.85 <= component.cfg["label_thresholds"]["city"] < 0.9
    assert fitted.after == 1.0


def test_labels_with_little_gold_keep_the_common_threshold(component):
    assert fit_thresholds(component, examples_of(component), min_gold=3).label_thresholds == {}


def test_without_gold_nothing_is_fitted_and_nothing_changes(component):
    before = dict(component.cfg)
    with pytest.raises(ValueError, match="no gold spans for 'gliner_ner' in these 1 examples"):
        fit_thresholds(component, examples_of(component, ["Tea"]))
    assert component.cfg == before


def test_thresholds_are_put_back_when_finding_fails(component, monkeypatch):
    before = dict(component.cfg)

    def fail(docs):
        raise RuntimeError("no")

    monkeypatch.setattr(component, "predict", fail)
    with pytest.raises(RuntimeError):
        fit_thresholds(component, examples_of(component))
    assert component.cfg == before


@given(st.lists(st.tuples(st.just("a"), st.floats(0.01, 1), st.booleans())), st.integers(0, 5))
def test_no_threshold_of_the_grid_is_better_than_the_one_chosen(found, more):
    n_gold = sum(right for *_, right in found) + more
    chosen = f1_at(found, n_gold, best_limit(found, n_gold, 0.5))
    assert all(f1_at(found, n_gold, limit) <= chosen for limit in GRID)


def test_equally_good_thresholds_stay_near_the_default():
    assert best_limit([("a", 0.9, True)], 1, 0.5) == 0.5


def test_fitted_thresholds_are_saved_with_the_pipeline(make_nlp, tmp_path):
    nlp = make_nlp(labels=["person"])
    doc = nlp.make_doc("Bill left Seattle")
    reference = doc.copy()
    reference.ents = [Span(reference, 0, 1, label="person")]
    fit_thresholds(nlp.get_pipe("gliner_ner"), [Example(doc, reference)], min_gold=1)
    nlp.to_disk(tmp_path / "nlp")
    cfg = spacy.load(tmp_path / "nlp").get_pipe("gliner_ner").cfg
    assert cfg == nlp.get_pipe("gliner_ner").cfg


def test_find_threshold_of_spacy_works_too(make_nlp, tmp_path):
    nlp = make_nlp(labels=["person"], threshold=0.4)
    doc = nlp.make_doc("Bill left Seattle")
    doc.ents = [Span(doc, 0, 1, label="person")]
    DocBin(docs=[doc]).to_disk(tmp_path / "dev.spacy")
    nlp.to_disk(tmp_path / "nlp")
    _, _, scores = find_threshold(
        str(tmp_path / "nlp"), tmp_path / "dev.spacy", "gliner_ner", "threshold", "ents_p", n_trials=3
    )
    assert list(scores) == [0.0, 0.5, 1.0]
    assert scores[1.0] == 0.0
    assert len(set(scores.values())) > 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.06, 0.99), st.booleans()), min_size=1),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=1),
)
def test_thresholds_of_labels_never_make_the_whole_worse(found, more):
    n_gold = {name: more.get(name, 0) + sum(right for label, _, right in found if label == name) for name in "abc"}
    common = best_limit(found, sum(n_gold.values()), 0.5)
    own = of_labels(found, n_gold, common, 1)
    assert micro_f1(found, n_gold, own, common) >= micro_f1(found, n_gold, {}, common)


def test_thresholds_that_labels_bring_are_replaced(make_nlp, monkeypatch):
    pipe = make_nlp(labels=[{"name": "person", "threshold": 0.99}]).get_pipe("gliner_ner")
    monkeypatch.setattr(pipe, "predict", lambda docs: [[ScoredSpan(0, 1, "person", 0.6)] for _ in docs])
    fitted = fit_thresholds(pipe, examples_of(pipe, ["Ada"]), min_gold=5)
    assert (fitted.before, fitted.after) == (0.0, 1.0)
    assert pipe.cfg["label_thresholds"]["person"] < 0.6


def test_what_is_found_where_annotation_is_missing_does_not_count(component):
    doc = spacy.tokens.Doc(component.vocab, words=["Ada", "Tea"])
    reference = doc.copy()
    reference.set_ents([Span(reference, 0, 1, label="person")], missing=[reference[1:2]])
    assert fit_thresholds(component, [Example(doc, reference)]).after == 1.0
    assert find(component, [Example(doc, reference)])[0] == [("person", 0.9, True)]
