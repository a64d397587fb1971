"""A pipeline learns from what it was sure of."""

import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.training.overlap import RUN, Overlap, texts_of
from spacy_gliner.training.self_training import annotate, self_train
from spacy_gliner.types import ScoredSpan

TEXTS = ["Ada met  Bob.", "Nobody came.", "", "Bob left Oslo."]
SCORES = {"Ada": 0.9, "Bob": 0.5, "Oslo": 0.1}


@pytest.fixture
def nlp(make_nlp, monkeypatch):
    """A pipeline that gives some words a certain score."""
    nlp = make_nlp(labels=["person"])
    pipe = nlp.get_pipe("gliner_ner")

    def predict(docs):
        return [
            [
                ScoredSpan(token.i, token.i + 1, "person", SCORES[token.text])
                for token in doc
                if SCORES.get(token.text, 0) > pipe.cfg["threshold"]
            ]
            for doc in docs
        ]

    monkeypatch.setattr(pipe, "predict", predict)
    return nlp


def rows_in(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_sure_spans_are_gold_unsure_ones_are_left_open_others_are_absent(nlp, tmp_path):
    report = annotate(nlp, TEXTS, tmp_path / "a.jsonl", keep=0.8, unsure=0.3)
    rows = rows_in(tmp_path / "a.jsonl")
    assert [row["tokens"] for row in rows] == [
        ["Ada", "met", "Bob", "."],
        ["Nobody", "came", "."],
        ["Bob", "left", "Oslo", "."],
    ]
    assert [row["spans"] for row in rows] == [[[0, 0, "person"]], [], []]
    assert [row["missing"] for row in rows] == [[[2, 2]], [], [[0, 0]]]
    assert (report.n_rows, report.n_spans, report.n_unsure, report.n_left_out) == (3, {"person": 1}, 2, 0)
    assert nlp.get_pipe("gliner_ner").cfg["threshold"] == 0.5


def test_an_interrupted_annotation_is_continued(nlp, tmp_path):
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    expected = annotate(nlp, TEXTS, whole)
    annotate(nlp, TEXTS[:1], part)
    with part.open("a", encoding="utf8") as file:
        file.write('{"tokens": ["No')
    assert annotate(nlp, TEXTS, part, batch_size=1) == expected
    assert part.read_text(encoding="utf8") == whole.read_text(encoding="utf8")


def test_annotation_of_other_texts_is_not_mixed_in(nlp, tmp_path):
    annotate(nlp, TEXTS, tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="annotation of other texts"):
        annotate(nlp, ["Something else."], tmp_path / "a.jsonl")


def test_texts_of_the_evaluation_are_left_out(nlp, tmp_path):
    report = annotate(nlp, TEXTS, tmp_path / "a.jsonl", overlap=Overlap(["ada MET bob"]))
    assert (report.n_rows, report.n_left_out) == (2, 1)
    assert all("Ada" not in row["tokens"] for row in rows_in(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("settings", [{"keep": 1.0}, {"keep": 0.3, "unsure": 0.4}, {"unsure": 0.0}])
def test_thresholds_that_make_no_sense_are_errors(nlp, tmp_path, settings):
    with pytest.raises(ValueError, match="unsure <= keep"):
        annotate(nlp, TEXTS, tmp_path / "a.jsonl", **settings)


def test_a_pipeline_without_labels_or_entities_is_an_error(make_nlp, tmp_path):
    with pytest.raises(ValueError, match="needs labels"):
        annotate(make_nlp(labels=[]), TEXTS, tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="no gliner_ner; it has sentencizer"):
        nlp = spacy.blank("en")
        nlp.add_pipe("sentencizer")
        annotate(nlp, TEXTS, tmp_path / "a.jsonl")


WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=25)


@given(WORDS, WORDS)
def test_texts_overlap_when_they_share_ten_words_in_a_row_or_are_equal(first, second):
    runs = [
        {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)} or {tuple(words)}
        for words in (first, second)
    ]
    expected = bool(first and second and runs[0] & runs[1])
    assert (", ".join(second).upper() in Overlap([" ".join(first)])) == expected


def test_texts_are_read_from_rows_of_all_kinds(write):
    path = write("a", {"text": "one"}, {"tokens": ["t", "wo"]}, {"paragraphs": [{"context": "three"}]})
    assert list(texts_of(path)) == ["one", "t wo", "three"]
    with pytest.raises(ValueError, match="line 1: expected"):
        list(texts_of(write("b", {"words": []})))


@pytest.fixture
def saved(make_nlp, tmp_path):
    """A saved pipeline with other components around, trained so far that it is sure of something."""
    nlp = make_nlp(labels=["person", "city"], threshold=0.3)
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "nlp")
    return tmp_path / "nlp"


TO_LEARN = ["Bill left Seattle.", "Ada lived in London.", "Marie works in Paris."]


def trained(saved, folder, **settings):
    limits = {"keep": 0.31, "unsure": 0.3} | settings
    overrides = {"training.max_steps": 4, "training.eval_frequency": 4, "training.before_update.every": 2}
    return self_train(spacy.load(saved), TO_LEARN, folder, overrides=overrides, **limits)


def test_a_saved_pipeline_is_trained_and_keeps_what_is_around_it(saved, tmp_path):
    nlp, report = trained(saved, tmp_path / "out")
    assert nlp.pipe_names == ["sentencizer", "gliner_ner"]
    pipe = nlp.get_pipe("gliner_ner")
    assert (pipe.labels, pipe.cfg["threshold"]) == (("person", "city"), pytest.approx(0.3))
    assert report.n_rows == 3
    before = shim_of(spacy.load(saved).get_pipe("gliner_ner").model).network.state_dict()
    after = shim_of(pipe.model).network.state_dict()
    assert any((before[name] != after[name]).any() for name in before)


def test_called_again_it_gives_the_same(saved, tmp_path):
    first, _ = trained(saved, tmp_path / "out")
    again, _ = trained(saved, tmp_path / "out")
    weights = [shim_of(nlp.get_pipe("gliner_ner").model).network.state_dict() for nlp in (first, again)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_its_settings_reach_the_loss(saved, tmp_path):
    nlp, _ = trained(saved, tmp_path / "out", smoothing=0.37)
    loss = nlp.config["components"]["gliner_ner"]["loss"]
    assert (loss["smoothing"], loss["alpha"]) == (0.37, 0.75)


def test_development_data_are_scored(saved, tmp_path, capsys):
    dev = tmp_path / "dev.jsonl"
    dev.write_text(json.dumps({"tokens": ["Ada", "slept"], "spans": [[0, 0, "musician"]]}) + "\n", encoding="utf8")
    trained(saved, tmp_path / "out", dev=dev)
    assert "musician" in capsys.readouterr().out


def test_nothing_to_learn_is_an_error_that_says_what_to_do(saved, tmp_path):
    with pytest.raises(ValueError, match="No span of 3 texts scored 0.999 or more"):
        trained(saved, tmp_path / "out", keep=0.999)


def test_annotation_with_other_settings_is_not_taken_over(nlp, tmp_path):
    annotate(nlp, TEXTS, tmp_path / "a.jsonl", keep=0.8)
    with pytest.raises(ValueError, match="annotated with other keep"):
        annotate(nlp, TEXTS, tmp_path / "a.jsonl", keep=0.85)
    with pytest.raises(ValueError, match="annotated with other labels"):
        annotate(nlp, TEXTS, tmp_path / "a.jsonl", keep=0.8, labels=["city"])


def test_texts_that_are_excluded_later_are_not_kept_in_the_file(nlp, tmp_path):
    annotate(nlp, TEXTS, tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="annotation of other texts"):
        annotate(nlp, TEXTS, tmp_path / "a.jsonl", overlap=Overlap(["Bob left Oslo"]))
