"""A guard set is scored apart, and progress is shown per type."""

import io

import pytest
from spacy.tokens import DocBin, Span
from spacy.training import Corpus, Example

from spacy_gliner.training.corpora import JsonCorpus
from spacy_gliner.training.guarding import GuardedCorpus
from spacy_gliner.training.mixing import MixedCorpus
from spacy_gliner.training.progress import per_type_lines, progress_logger

OWN = {"tokens": ["Bill", "left", "Seattle"], "spans": [[0, 0, "person"], [2, 2, "city"]]}
OTHER = {"tokens": ["the", "Rhine", "is", "a", "river"], "spans": [[1, 1, "river"]]}


@pytest.fixture
def guarded(write):
    return GuardedCorpus(JsonCorpus(write("own", OWN, OWN)), JsonCorpus(write("guard", OTHER)))


def test_scores_of_the_guard_stand_beside_those_of_the_data(make_nlp, guarded):
    nlp = make_nlp()
    examples = list(guarded(nlp))
    for example in examples[:2]:  # all of the data is found, nothing of the guard
        example.predicted.ents = [
            Span(example.predicted, ent.start, ent.end, label=ent.label) for ent in example.reference.ents
        ]
    examples[2].predicted.ents = []
    scores = nlp.get_pipe("gliner_ner").score(examples)
    assert (scores["ents_f"], scores["guard_ents_f"]) == (1.0, 0.0)
    assert set(scores["ents_per_type"]) == {"person", "city"}
    assert set(scores["guard_ents_per_type"]) == {"river"}


def test_evaluation_reports_both(make_nlp, guarded):
    nlp = make_nlp()
    scores = nlp.evaluate(guarded(nlp))
    assert {"ents_f", "guard_ents_f"} <= set(scores)


def test_without_a_guard_scores_are_those_of_the_data(make_nlp, write):
    nlp = make_nlp()
    assert not any(key.startswith("guard") for key in nlp.evaluate(JsonCorpus(write("own", OWN))(nlp)))


def test_the_name_of_a_guard_is_one_word(write):
    with pytest.raises(ValueError, match="one word"):
        GuardedCorpus(JsonCorpus(write("own", OWN)), JsonCorpus(write("guard", OTHER)), name="a b")


def test_examples_of_spacy_in_a_mixture_are_asked_for_the_labels_of_the_component(make_nlp, tmp_path, write):
    nlp = make_nlp()
    doc = nlp.make_doc("Bill left Seattle")
    doc.ents = [doc.char_span(0, 4, label="person")]
    DocBin(docs=[doc]).to_disk(tmp_path / "own.spacy")
    corpora = {"own": Corpus(tmp_path / "own.spacy"), "replay": JsonCorpus(write("replay", OTHER))}
    asked = {e.reference.text.strip(): e.predicted._.gliner_labels for e in MixedCorpus(corpora, n_examples=30)(nlp)}
    assert asked == {"Bill left Seattle": None, "the Rhine is a river": ["river"]}


def test_labels_are_observed_on_the_data_rather_than_on_the_sample_of_others(make_nlp, write):
    nlp = make_nlp(labels=[])
    own = Example.from_dict(nlp.make_doc("Bill left"), {"entities": [(0, 4, "person")]})
    replay = list(JsonCorpus(write("replay", OTHER))(nlp))
    nlp.initialize(lambda: [*replay, own])
    assert nlp.get_pipe("gliner_ner").labels == ("person",)


SCORES = {
    "ents_f": 0.5,
    "ents_per_type": {
        "person": {"p": 1.0, "r": 0.5, "f": 2 / 3},
        "city": {"p": 0.0, "r": 0.0, "f": 0.0},
        "river": {"p": 1.0, "r": 1.0, "f": 1.0},
    },
}


def test_types_are_shown_worst_first():
    lines = per_type_lines(SCORES, 2)
    assert [line.split()[0] for line in lines] == ["ents:", "city", "person", "…"]
    assert lines[2].split()[1:] == ["100.0", "50.0", "66.7"]
    assert "1 types" in lines[3]


def test_scores_of_other_components_that_are_no_f1_are_left_out():
    others = {"cats_auc_per_type": {"good": None, "bad": 0.7}, "tag_per_type": None, "dep_per_type": {}}
    assert per_type_lines(others, 2) == []
    assert per_type_lines({"cats_f_per_type": {"good": {"p": 1.0, "r": 1.0, "f": 1.0}}, **others}, 2)[1].split() == [
        "good",
        *["100.0"] * 3,
    ]


def test_the_logger_shows_losses_scores_and_types(make_nlp):
    nlp = make_nlp()
    out = io.StringIO()
    nlp.config["training"] = {"score_weights": {"ents_f": 1.0}, "max_steps": 1, "eval_frequency": 1}
    log, finalize = progress_logger()(nlp, out, out)
    info = {"epoch": 0, "step": 0, "score": 0.5, "losses": {"gliner_ner": 1.25}, "other_scores": SCORES}
    log(None)
    log(info | {"seconds": 1, "words": 1})
    finalize()
    assert "1.25" in out.getvalue()
    assert "50.00" in out.getvalue()
    assert "river" in out.getvalue()
