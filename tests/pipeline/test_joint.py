"""Joint networks in a pipeline: `gliner_relations` asks them for relations between the entities that are there."""

import shutil

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.ml.checkpoints import read_checkpoint, write_checkpoint
from spacy_gliner.ml.shim import GlinerShim
from spacy_gliner.ml.sources import NewNetwork
from spacy_gliner.pipeline.results import Relation
from spacy_gliner.training.optimizers import AdamW
from spacy_gliner.types import Query

from ..tiny import QUERIES, assert_equal, scores_of
from .components import LANGUAGE, add_ruler

TEXT = "Bill Gates founded Microsoft in Seattle with Steve Jobs . Bill Gates met Ada in London ."
SAME_LABELS = {"@misc": "spacy_gliner.sample_labels.v1", "shuffle": False}
LONG_TEXT = f"{TEXT} {'some word ' * 60} Ada joined Microsoft in New York City ."


@pytest.fixture
def make_nlp(tiny_joint_checkpoint):
    """A function that makes a pipeline of a ruler, which finds the entities, and `gliner_relations`."""

    def make(relations=("founded", "met"), source=None, **config):
        nlp = spacy.blank(LANGUAGE)
        add_ruler(nlp)
        source = source or {"name": str(tiny_joint_checkpoint)}
        nlp.add_pipe("gliner_relations", config={"relations": list(relations), "model": {"source": source}, **config})
        return nlp

    return make


@pytest.fixture
def asked(monkeypatch):
    """The queries that any network is asked, as a list that grows."""
    seen, collate = [], GlinerShim.collate

    def note(self, queries, *more):
        seen.extend(queries)
        return collate(self, queries, *more)

    monkeypatch.setattr(GlinerShim, "collate", note)
    return seen


def facts(doc):
    return {relation.to_tuple() for relation in doc._.gliner_relations}


def test_all_entities_are_asked_about_in_one_query(make_nlp, asked):
    doc = make_nlp()(TEXT)
    (query,) = asked
    assert query.labels == ("founded", "met")
    assert query.instruction == ()
    assert query.spans == tuple((ent.start, ent.end) for ent in doc.ents)
    assert query.beside == ("person", "company", "city")


def test_no_entity_is_related_to_itself_and_no_fact_comes_twice(make_nlp):
    doc = make_nlp(threshold=0.0)(TEXT)
    n_names = len({ent.text for ent in doc.ents})
    assert len(doc._.gliner_relations) == len(facts(doc))
    assert {head == tail for head, _, tail in facts(doc)} == {False}
    assert 0 < len(facts(doc)) <= 2 * n_names * (n_names - 1)


def test_only_entities_of_the_wanted_types_are_related(make_nlp):
    relations = [{"name": "founded", "head": ["person"], "tail": ["company"]}]
    found = make_nlp(relations, threshold=0.0)(TEXT)._.gliner_relations
    assert {(relation.head.label_, relation.tail.label_) for relation in found} == {("person", "company")}


def test_a_description_is_read_and_the_name_is_returned(make_nlp, asked):
    doc = make_nlp([{"name": "P1", "description": "who founded"}], threshold=0.0)(TEXT)
    assert asked[0].label_prompts == ("who founded",)
    assert {relation.label for relation in doc._.gliner_relations} == {"P1"}


def test_a_window_with_less_than_two_entities_is_not_asked(make_nlp, asked):
    assert make_nlp()("Ada met nobody .")._.gliner_relations == []
    assert asked == []


def test_relations_of_a_long_text_are_found_in_every_window(make_nlp, asked):
    windows = {"@misc": "spacy_gliner.strided_windows.v1", "size": 20, "stride": 10}
    doc = make_nlp(threshold=0.0, windows=windows)(LONG_TEXT)
    last = max(ent.start for ent in doc.ents)
    assert any(max(relation.head.start, relation.tail.start) == last for relation in doc._.gliner_relations)
    assert all(len(query.words) <= 20 for query in asked)
    for query in asked:
        texts = {" ".join(query.words[start:end]) for start, end in query.spans}
        assert texts <= {ent.text for ent in doc.ents}


def test_pairs_that_a_backbone_can_not_hold_together_are_told_of(make_nlp, caplog):
    nlp = make_nlp(threshold=0.0)
    near, far = (f"Ada {'some word ' * n} Microsoft ." for n in (10, 70))
    assert nlp(near)._.gliner_relations
    assert "too far apart" not in caplog.text
    assert nlp(far)._.gliner_relations == []
    assert "Of 1 pairs of entities in a window, 1 stand too far apart" in caplog.text


def test_labels_beside_that_do_not_fit_are_left_out_with_a_warning(make_nlp, caplog, asked):
    nlp = make_nlp(threshold=0.0, entities_key="some")
    doc = nlp.make_doc("Ada met Bill " * 7)
    doc.spans["some"] = [Span(doc, i, i + 1, label=f"label word number {i}") for i in range(20)]
    assert nlp(doc)._.gliner_relations
    assert "Of 20 labels that are read beside the others, only the first 3 fit" in caplog.text
    assert {query.beside for query in asked} == {tuple(f"label word number {i}" for i in range(3))}


def test_spans_that_overlap_are_not_related(make_nlp):
    nlp = make_nlp(threshold=0.0, entities_key="some")
    doc = nlp.make_doc("Ada lived in New York City .")
    doc.spans["some"] = [Span(doc, *place, label="city") for place in ((0, 1), (3, 5), (3, 6))]
    found = {(head, tail) for head, _, tail in facts(nlp(doc))}
    assert found
    assert found <= {("Ada", "New York"), ("Ada", "New York City"), ("New York", "Ada"), ("New York City", "Ada")}


def test_a_network_on_the_encoder_of_a_joint_one_is_an_ordinary_one(tiny_joint_checkpoint, tmp_path):
    new = NewNetwork(str(tiny_joint_checkpoint))()
    write_checkpoint(new, tmp_path / "new")
    again = read_checkpoint(tmp_path / "new")
    assert new.network.pairs is None
    assert_equal(*(scores_of(each.network, each.tokenizer, QUERIES) for each in (new, again)))


def test_a_marker_without_an_embedding_is_refused(tiny_joint_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_joint_checkpoint, tmp_path / "copy")
    path = folder / "gliner_config.json"
    path.write_text(path.read_text(encoding="utf8").replace('"<<REL>>"', '"[OTHER]"'), encoding="utf8")
    with pytest.raises(ValueError, match="don't belong together"):
        read_checkpoint(folder)


def test_white_space_between_words_changes_nothing(make_nlp):
    nlp = make_nlp(threshold=0.3)
    assert facts(nlp(TEXT.replace(" in ", "  \n in "))) == facts(nlp(TEXT))


def test_a_stream_gives_what_single_calls_give(make_nlp):
    nlp = make_nlp(threshold=0.3)
    texts = [TEXT, "", "Ada met Babbage .", "Ada", "Bill met Ada in London ."] * 3
    for doc, text in zip(nlp.pipe(texts, batch_size=4), texts, strict=True):
        alone = nlp(text)._.gliner_relations
        assert [relation.to_tuple() for relation in doc._.gliner_relations] == [r.to_tuple() for r in alone]
        assert [r.score for r in doc._.gliner_relations] == pytest.approx([r.score for r in alone], abs=1e-5)


def test_entities_and_relations_share_one_network(tiny_joint_checkpoint, asked):
    nlp = spacy.blank(LANGUAGE)
    source = {"name": str(tiny_joint_checkpoint)}
    ner = {"labels": ["person", "city"], "threshold": 0.3, "beside": ["met"], "model": {"source": source}}
    nlp.add_pipe("gliner_ner", config=ner)
    lent = {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_ner"}
    both = {"relations": ["met"], "beside": ["person", "city"], "threshold": 0.0, "model": {"source": lent}}
    nlp.add_pipe("gliner_relations", config=both)
    assert nlp(TEXT)._.gliner_relations
    of_entities, of_relations = asked
    tokenizer = shim_of(nlp.get_pipe("gliner_ner").model).tokenizer
    assert tokenizer.prompt(of_entities)[0] == tokenizer.prompt(of_relations)[0]  # as the network was trained


@pytest.mark.parametrize("component", ["gliner_ner", "gliner_relations"])
def test_other_networks_read_nothing_beside(make_task_nlp, component):
    asked = {"gliner_ner": {"labels": ["person"]}, "gliner_relations": {"relations": ["met"]}}[component]
    nlp = make_task_nlp(component, beside=["born in"], **asked)
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(doc, 0, 2, label="person")]
    with pytest.raises(ValueError, match="'born in'.*only joint networks"):
        nlp(doc)


def test_a_network_without_relations_says_so(tiny_checkpoint, make_task_nlp):
    model = make_task_nlp("gliner_ner", labels=["person"]).get_pipe("gliner_ner").model
    with pytest.raises(ValueError, match="knows no relations between given spans"):
        model.predict([Query(("Ada", "met", "Bill"), ("met",), spans=((0, 1), (2, 3)))])


@pytest.mark.parametrize("links, head", [("none", "token"), ("mlp", "markerV0"), ("gcn", "token")])
def test_relations_are_learned_by_heart_and_survive_saving(make_task_nlp, tiny_backbone, tmp_path, links, head):
    new = {"@misc": "spacy_gliner.NewNetwork.v1", "backbone": str(tiny_backbone), "head": head, "links": links}
    asked = {"relations": ["founded", "met"], "loss": {"alpha": 0.9}, "sample_labels": SAME_LABELS}
    source = {**new, "dropout": 0.0, "backbone_dropout": 0.0}
    nlp = spacy.blank(LANGUAGE)
    nlp.add_pipe("gliner_relations", config={**asked, "model": {"source": source}})
    gold = {
        TEXT: [("Bill Gates", "founded", "Microsoft"), ("Bill Gates", "met", "Ada")],
        "Steve Jobs founded Babbage in London .": [("Steve Jobs", "founded", "Babbage")],
        "Ada was in London with Bill .": [],
    }
    examples = [example_of(nlp, text, relations) for text, relations in gold.items()]
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    optimizer = AdamW(learn_rate=0.002, head_learn_rate=0.006, weight_decay=0.0)
    first = None
    for _ in range(400):
        losses = nlp.update(examples, sgd=optimizer, losses={})
        first = first or losses
        if losses["gliner_relations"] < 0.005 * first["gliner_relations"]:
            break
    docs = [nlp(example.predicted.copy()) for example in examples]
    assert [facts(doc) for doc in docs] == [set(relations) for relations in gold.values()]
    assert nlp.evaluate(examples)["rel_micro_f"] == 1.0
    nlp.to_disk(tmp_path / "nlp")
    nlp.get_pipe("gliner_relations").to_checkpoint(tmp_path / "checkpoint")
    for other in (
        spacy.load(tmp_path / "nlp"),
        make_task_nlp("gliner_relations", tmp_path / "checkpoint", **asked),
    ):
        for doc, example in zip(docs, examples, strict=True):
            again = other(Doc(other.vocab).from_bytes(example.predicted.to_bytes()))
            ours, theirs = doc._.gliner_relations, again._.gliner_relations
            assert [r.to_tuple() for r in ours] == [r.to_tuple() for r in theirs]
            assert [r.score for r in ours] == pytest.approx([r.score for r in theirs], abs=1e-5)


def example_of(nlp, text, relations):
    """A text with the entities that the ruler finds, and gold relations between them."""
    ruler = spacy.blank(LANGUAGE)
    add_ruler(ruler)
    reference = Doc(nlp.vocab).from_bytes(ruler(text).to_bytes())
    named = {ent.text: ent for ent in reversed(reference.ents)}
    reference._.gliner_relations = [Relation(named[head], label, named[tail]) for head, label, tail in relations]
    predicted = Doc(nlp.vocab, words=[token.text for token in reference])
    predicted.ents = [Span(predicted, ent.start, ent.end, label=ent.label) for ent in reference.ents]
    return Example(predicted, reference)
