"""What survives: pipelines and their Docs on disk, as bytes and pickled; and spaCy's commands on saved pipelines."""

import json
import pickle
import shutil

import pytest
import spacy
from spacy.cli.evaluate import evaluate
from spacy.cli.package import package
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_gliner.ml.architectures import shim_of

from .helpers import TEXTS, assert_same, ents, found, scored

LABELS = [
    "person",
    {"name": "ORG", "description": "a company: any; of 50% or more"},
    "a:b",
    "c = d",
    "100%",
    "#tag",
    'say "hi"',
    "it's",
    "Straße",
    "名前",
    "back\\slash",
    "{curly}",
    "[section]",
    "null",
    "1",
    "true",
]


@pytest.fixture
def nlp(make_nlp):
    return make_nlp(labels=LABELS, threshold=0.3, label_thresholds=[["a:b", 0.8], ["100%", 0.2]], nested=True)


def through_disk(nlp, folder):
    nlp.to_disk(folder)
    return spacy.load(folder)


def through_bytes(nlp, folder):
    return spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())


def through_pickle(nlp, folder):
    return pickle.loads(pickle.dumps(nlp))


@pytest.mark.parametrize("travel", [through_disk, through_bytes, through_pickle])
def test_a_pipeline_finds_the_same_after_it_travelled(make_nlp, any_checkpoint, tmp_path, travel):
    nlp = make_nlp(checkpoint=any_checkpoint)
    expected = list(nlp.pipe(TEXTS))
    assert_same(travel(nlp, tmp_path / "pipeline").pipe(TEXTS), expected)


@pytest.mark.parametrize("travel", [through_disk, through_bytes, through_pickle])
def test_labels_thresholds_and_their_order_survive_with_any_characters(nlp, tmp_path, travel):
    pipe = travel(nlp, tmp_path / "pipeline").get_pipe("gliner_ner")
    assert pipe.label_data == LABELS
    assert pipe.labels == tuple(label if isinstance(label, str) else label["name"] for label in LABELS)
    assert pipe.cfg["threshold"] == pytest.approx(0.3)
    assert pipe.cfg["label_thresholds"] == pytest.approx({"a:b": 0.8, "100%": 0.2})


def test_a_label_with_a_dollar_sign_survives(make_nlp, tmp_path):
    nlp = make_nlp(labels=["US$", "$100", "person"])
    assert through_disk(nlp, tmp_path).get_pipe("gliner_ner").labels == ("US$", "$100", "person")


def test_labels_in_the_config_survive_with_any_characters(nlp, tmp_path):
    config = through_disk(nlp, tmp_path / "pipeline").config
    assert config["components"]["gliner_ner"]["labels"] == LABELS
    assert config["components"]["gliner_ner"]["label_thresholds"] == [["a:b", 0.8], ["100%", 0.2]]


def test_labels_given_as_a_dict_survive_with_any_characters(tiny_checkpoint, tmp_path):
    nlp = spacy.blank("en")
    labels = {"person": "a human being", "a:b": "c = d", "100%": "#all [of] it", "名前": "a name"}
    source = {"name": str(tiny_checkpoint)}
    pipe = nlp.add_pipe("gliner_ner", config={"labels": labels, "model": {"source": source}})
    expected = [{"name": name, "description": description} for name, description in labels.items()]
    assert pipe.label_data == expected
    assert through_disk(nlp, tmp_path).get_pipe("gliner_ner").label_data == expected


def test_loading_needs_neither_the_source_nor_to_ask_for_it(make_nlp, tiny_checkpoint, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "source")
    nlp = make_nlp(checkpoint=tmp_path / "source")
    nlp.to_disk(tmp_path / "pipeline")
    data = nlp.to_bytes()
    shutil.rmtree(tmp_path / "source")
    expected = list(make_nlp().pipe(TEXTS))
    assert_same(spacy.load(tmp_path / "pipeline").pipe(TEXTS), expected)
    assert_same(spacy.blank("en", config=nlp.config).from_bytes(data).pipe(TEXTS), expected)


def test_saving_reads_the_weights_where_nothing_did_before(make_nlp, tmp_path):
    nlp = make_nlp()
    assert not shim_of(nlp.get_pipe("gliner_ner").model).loaded
    again = through_disk(nlp, tmp_path)
    assert shim_of(again.get_pipe("gliner_ner").model).loaded
    assert_same([again("Bill Gates founded Microsoft")], [nlp("Bill Gates founded Microsoft")])


def test_a_pipeline_that_cannot_be_saved_leaves_no_half_written_component(make_nlp, tmp_path):
    nlp = make_nlp(checkpoint=tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        nlp.to_disk(tmp_path / "pipeline")
    assert not (tmp_path / "pipeline" / "gliner_ner" / "model").exists()


def test_labels_added_and_thresholds_fitted_after_creation_are_saved(make_nlp, tmp_path):
    nlp = make_nlp()
    pipe = nlp.get_pipe("gliner_ner")
    pipe.add_label({"name": "river", "description": "a stream"})
    pipe.cfg["label_thresholds"]["river"] = 0.7
    again = through_disk(nlp, tmp_path).get_pipe("gliner_ner")
    assert again.label_data == ["person", "company", "city", {"name": "river", "description": "a stream"}]
    assert again.cfg["label_thresholds"] == pytest.approx({"river": 0.7})


def test_a_saved_pipeline_can_be_saved_again(make_nlp, tmp_path):
    nlp = make_nlp()
    twice = through_disk(through_disk(nlp, tmp_path / "one"), tmp_path / "two")
    assert_same(twice.pipe(TEXTS), nlp.pipe(TEXTS))


@pytest.mark.parametrize("user_data", [True, False])
def test_spans_and_scores_survive_in_a_doc_bin(make_nlp, user_data):
    docs = list(make_nlp().pipe(TEXTS))
    data = DocBin(docs=docs, store_user_data=user_data).to_bytes()
    again = list(DocBin().from_bytes(data).get_docs(Vocab()))
    for doc, other in zip(docs, again, strict=True):
        assert scored(doc) == scored(other)
        assert ents(doc) == ents(other)
        assert [ent._.gliner_score for ent in other.ents] == [ent._.gliner_score for ent in doc.ents]


def test_spans_and_scores_survive_as_bytes_and_pickled(make_nlp):
    for doc in make_nlp().pipe(TEXTS):
        doc._.gliner_labels = ["person"]
        for other in (Doc(Vocab()).from_bytes(doc.to_bytes()), pickle.loads(pickle.dumps(doc)), doc.copy()):
            assert scored(doc) == found(other)
            assert ents(doc) == ents(other)
            assert other._.gliner_labels == ["person"]


def test_a_source_borrowed_from_another_pipeline_finds_the_same(make_nlp, tmp_path):
    nlp = through_disk(make_nlp(), tmp_path)
    other = spacy.blank("en")
    other.add_pipe("gliner_ner", source=nlp)
    assert_same(other.pipe(TEXTS), nlp.pipe(TEXTS))


@pytest.fixture
def saved(make_nlp, tmp_path):
    """A saved pipeline, and a corpus in which it is always right."""
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    DocBin(docs=nlp.pipe(text for text in TEXTS if text.strip())).to_disk(tmp_path / "dev.spacy")
    return tmp_path


def test_spacy_evaluate_scores_a_saved_pipeline(saved, capsys):
    scores = evaluate(str(saved / "pipeline"), saved / "dev.spacy", output=saved / "scores.json", silent=False)
    assert scores["ents_f"] == 1.0
    assert set(scores["ents_per_type"]) <= {"person", "company", "city"}
    assert json.loads((saved / "scores.json").read_text(encoding="utf8"))["ents_f"] == 1.0
    assert "NER F" in capsys.readouterr().out


def test_spacy_package_makes_a_package_that_requires_this_one(saved, capsys):
    package(saved / "pipeline", saved, create_sdist=False, create_wheel=False, name="tiny", version="1.2.3")
    folder = saved / "en_tiny-1.2.3"
    meta = json.loads((folder / "meta.json").read_text(encoding="utf8"))
    assert any(requirement.startswith("spacy-gliner") for requirement in meta["requirements"])
    nlp = spacy.load(folder / "en_tiny" / "en_tiny-1.2.3")
    assert_same(nlp.pipe(TEXTS), spacy.load(saved / "pipeline").pipe(TEXTS))
