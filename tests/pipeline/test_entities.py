"""What is written on a Doc: entities beside those that were there, and span groups with scores."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_gliner.decoding import drop_overlaps
from spacy_gliner.pipeline.ner import Entities
from spacy_gliner.types import ScoredSpan

from .helpers import ents, scored, stub_network

N_WORDS = 10
TEXT = "Bill Gates founded Microsoft in New York City yesterday ."
LABELS = ["person", "city"]

positions = st.tuples(st.integers(0, N_WORDS - 1), st.integers(1, 5)).map(lambda x: (x[0], min(sum(x), N_WORDS)))
spans = st.builds(
    lambda place, label, score: ScoredSpan(*place, label, score),
    positions,
    st.sampled_from(LABELS),
    st.floats(0.01, 1.0),
)
tasks = st.builds(
    Entities,
    spans_key=st.just("found"),
    annotate_ents=st.just(True),
    overwrite_ents=st.booleans(),
    nested=st.booleans(),
    multi_label=st.booleans(),
)

VOCAB = spacy.blank("en").vocab


def make_doc(entities=()):
    doc = Doc(VOCAB, words=TEXT.split())
    doc.ents = [Span(doc, start, end, label=label) for start, end, label in entities]
    return doc


def places(spans):
    return [(span.start, span.end, span.label_) for span in spans]


@pytest.fixture
def with_ruler(make_nlp):
    """A pipeline in which a ruler comes first and finds a city, and then we find what a test says."""

    def make(found, **config):
        nlp = make_nlp(labels=LABELS, **config)
        ruler = nlp.add_pipe("entity_ruler", first=True)
        ruler.add_patterns([{"label": "GPE", "pattern": "New York City", "id": "NYC"}])
        stub_network(nlp, lambda query: found)
        return nlp

    return make


@settings(max_examples=150)
@given(task=tasks, candidates=st.lists(spans, max_size=12), before=st.lists(spans, max_size=4))
def test_no_combination_of_spans_makes_entities_that_clash(task, candidates, before):
    before = [(start, end, "old") for start, end, *_ in drop_overlaps(before)]
    doc = make_doc(before)
    chosen = drop_overlaps(candidates, nested=task.nested, multi_label=task.multi_label)
    task.annotate(doc, chosen)
    after = places(doc.ents)
    tokens = [token for start, end, _ in after for token in range(start, end)]
    assert len(tokens) == len(set(tokens))
    assert set(after) <= set(before) | {span[:3] for span in chosen}
    assert scored(doc, "found") == [span[:4] for span in chosen]
    best = {span[:3] for span in drop_overlaps(chosen)}
    if task.overwrite_ents or not before:
        assert best <= set(after)
    if not task.overwrite_ents:
        assert set(before) <= set(after)
    # whoever was there and stays out has given way to a new one
    for start, end, label in before:
        assert (start, end, label) in after or not set(range(start, end)).isdisjoint(tokens)


@given(task=tasks, candidates=st.lists(spans, max_size=12), before=st.lists(spans, max_size=4))
def test_writing_twice_changes_nothing(task, candidates, before):
    doc = make_doc([(start, end, "old") for start, end, *_ in drop_overlaps(before)])
    task.annotate(doc, candidates)
    once = places(doc.ents)
    task.annotate(doc, candidates)
    assert places(doc.ents) == once
    assert scored(doc, "found") == [span[:4] for span in candidates]


def test_entities_that_were_there_stay(with_ruler):
    nlp = with_ruler([ScoredSpan(0, 2, "person", 0.9), ScoredSpan(5, 7, "city", 0.99), ScoredSpan(7, 9, "city", 0.8)])
    doc = nlp(TEXT)
    assert ents(doc) == [("Bill Gates", "person"), ("New York City", "GPE")]
    assert places(doc.spans["gliner_ner"]) == [(0, 2, "person"), (5, 7, "city"), (7, 9, "city")]


def test_entities_that_were_there_give_way_only_where_they_overlap(with_ruler):
    nlp = with_ruler([ScoredSpan(5, 7, "city", 0.6)], overwrite_ents=True)
    assert ents(nlp(TEXT)) == [("New York", "city")]
    doc = nlp("We met in or near New York City and in New York City")
    assert ents(doc) == [("New York", "city"), ("New York City", "GPE")]
    nlp = with_ruler([ScoredSpan(0, 2, "person", 0.9)], overwrite_ents=True)
    assert ents(nlp(TEXT)) == [("Bill Gates", "person"), ("New York City", "GPE")]


@pytest.mark.parametrize("overwrite", [True, False])
def test_identifiers_of_entities_that_stay_are_kept(with_ruler, overwrite):
    nlp = with_ruler([ScoredSpan(0, 2, "person", 0.9)], overwrite_ents=overwrite)
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(doc, 3, 4, label="company", kb_id="Q2283")]
    for _, component in nlp.pipeline:
        doc = component(doc)
    assert [(ent.label_, ent.ent_id_, ent.kb_id_) for ent in doc.ents] == [
        ("person", "", ""),
        ("company", "", "Q2283"),
        ("GPE", "NYC", ""),
    ]


@pytest.mark.parametrize("overwrite, label", [(False, "GPE"), (True, "city")])
def test_the_same_words_are_one_entity(with_ruler, overwrite, label):
    nlp = with_ruler([ScoredSpan(5, 8, "city", 0.9)], overwrite_ents=overwrite)
    assert ents(nlp(TEXT)) == [("New York City", label)]


def test_a_ruler_may_come_after(make_nlp):
    nlp = make_nlp(labels=LABELS)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "New York City"}])
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.9), ScoredSpan(5, 7, "city", 0.9)])
    assert ents(nlp(TEXT)) == [("Bill Gates", "person"), ("New York", "city")]


def test_flat_keeps_the_best_of_what_overlaps(make_nlp):
    nlp = make_nlp(labels=LABELS)
    stub_network(nlp, lambda query: [ScoredSpan(5, 7, "city", 0.8), ScoredSpan(5, 8, "city", 0.9)])
    doc = nlp(TEXT)
    assert places(doc.spans["gliner_ner"]) == [(5, 8, "city")]
    assert ents(doc) == [("New York City", "city")]


def test_nested_keeps_spans_in_spans_and_the_best_as_entity(make_nlp):
    nlp = make_nlp(labels=LABELS, nested=True)
    inner, outer, crossing = ScoredSpan(5, 7, "city", 0.8), ScoredSpan(5, 8, "city", 0.9), ScoredSpan(4, 6, "city", 0.7)
    stub_network(nlp, lambda query: [inner, outer, crossing])
    doc = nlp(TEXT)
    assert places(doc.spans["gliner_ner"]) == [(5, 8, "city"), (5, 7, "city")]
    assert ents(doc) == [("New York City", "city")]


def test_multi_label_keeps_several_labels_for_the_same_words(make_nlp):
    nlp = make_nlp(labels=LABELS, multi_label=True)
    stub_network(nlp, lambda query: [ScoredSpan(5, 8, "city", 0.8), ScoredSpan(5, 8, "person", 0.9)])
    doc = nlp(TEXT)
    assert sorted(places(doc.spans["gliner_ner"])) == [(5, 8, "city"), (5, 8, "person")]
    assert ents(doc) == [("New York City", "person")]


def test_scores_stand_in_the_order_of_the_group(make_nlp):
    nlp = make_nlp(labels=LABELS, nested=True)
    stub_network(nlp, lambda q: [ScoredSpan(5, 7, "city", 0.7), ScoredSpan(0, 2, "person", 0.6)])
    doc = nlp(TEXT)
    assert places(doc.spans["gliner_ner"]) == [(0, 2, "person"), (5, 7, "city")]
    assert doc.spans["gliner_ner"].attrs["scores"] == pytest.approx([0.6, 0.7])
    assert all(type(score) is float for score in doc.spans["gliner_ner"].attrs["scores"])


def test_entities_can_be_left_alone(with_ruler):
    nlp = with_ruler([ScoredSpan(0, 2, "person", 0.9), ScoredSpan(5, 7, "city", 0.9)], annotate_ents=False)
    doc = nlp(TEXT)
    assert ents(doc) == [("New York City", "GPE")]
    assert places(doc.spans["gliner_ner"]) == [(0, 2, "person"), (5, 7, "city")]


def test_the_span_group_has_the_name_of_the_component_unless_told_otherwise(make_nlp, tiny_checkpoint):
    nlp = make_nlp(labels=LABELS, spans_key="sc")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", name="rivers", config={"labels": ["river"], "model": {"source": source}})
    assert set(nlp(TEXT).spans) == {"sc", "rivers"}


def test_other_span_groups_are_left_alone(make_nlp):
    nlp = make_nlp(labels=LABELS)
    doc = nlp.make_doc(TEXT)
    doc.spans["mine"] = [doc[0:1]]
    assert places(nlp(doc).spans["mine"]) == [(0, 1, "")]


def test_two_components_share_the_entities_between_them(make_nlp, tiny_checkpoint):
    nlp = make_nlp(labels=["person"])
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", name="second", config={"labels": ["city"], "model": {"source": source}})
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.6)])
    stub_network(nlp, lambda query: [ScoredSpan(1, 3, "city", 0.9), ScoredSpan(5, 8, "city", 0.7)], name="second")
    doc = nlp(TEXT)
    assert ents(doc) == [("Bill Gates", "person"), ("New York City", "city")]
    assert places(doc.spans["second"]) == [(1, 3, "city"), (5, 8, "city")]
    assert [ent._.gliner_score for ent in doc.ents] == pytest.approx([0.6, 0.7])


def test_an_entity_knows_its_score_and_a_foreign_span_has_none(with_ruler):
    nlp = with_ruler([ScoredSpan(0, 2, "person", 0.9), ScoredSpan(5, 7, "city", 0.8)])
    doc = nlp(TEXT)
    assert [ent._.gliner_score for ent in doc.ents] == [pytest.approx(0.9), None]
    assert doc[0:2]._.gliner_score is None
    assert Span(doc, 0, 2, label="city")._.gliner_score is None
    assert Span(doc, 5, 7, label="city")._.gliner_score == pytest.approx(0.8)
    assert Span(make_doc(), 0, 2, label="person")._.gliner_score is None


@pytest.mark.parametrize("scores", [(0.6, 0.9), (0.9, 0.6)])
def test_the_score_of_a_span_is_the_best_of_several_components(make_nlp, tiny_checkpoint, scores):
    nlp = make_nlp(labels=["person"])
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", name="second", config={"labels": ["person"], "model": {"source": source}})
    for name, score in zip(nlp.pipe_names, scores, strict=True):
        stub_network(nlp, lambda query, score=score: [ScoredSpan(0, 2, "person", score)], name=name)
    (entity,) = nlp(TEXT).ents
    assert entity._.gliner_score == pytest.approx(0.9)


def test_scores_of_other_components_in_span_groups_are_not_ours(make_nlp):
    doc = make_nlp().make_doc(TEXT)
    doc.spans["sc"] = [Span(doc, 0, 2, label="person")]
    doc.spans["sc"].attrs["scores"] = [0.9]
    assert doc.spans["sc"][0]._.gliner_score is None


@given(st.lists(spans, max_size=15, unique_by=lambda span: span[:3]))
def test_every_span_that_was_written_knows_its_score(candidates):
    doc = make_doc()
    Entities("found", False, False, True, True).annotate(doc, sorted(candidates, key=lambda span: span.start))
    group = doc.spans["found"]
    assert [span._.gliner_score for span in group] == group.attrs["scores"]


def test_tokens_without_entity_are_outside_and_not_unknown(make_nlp):
    nlp = make_nlp(labels=LABELS)
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.9)])
    assert [token.ent_iob_ for token in nlp(TEXT)] == ["B", "I"] + ["O"] * 8
    assert nlp("").has_annotation("ENT_IOB")


@pytest.mark.parametrize("overwrite", [True, False])
def test_blocked_tokens_stay_without_entity(make_nlp, overwrite):
    nlp = make_nlp(labels=LABELS, overwrite_ents=overwrite)
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.9), ScoredSpan(5, 8, "city", 0.9)])
    doc = nlp.make_doc(TEXT)
    doc.set_ents([], blocked=[doc[1:2]])
    doc = nlp(nlp(doc))
    assert ents(doc) == [("New York City", "city")]
    assert [token.ent_iob for token in doc] == [2, 3, 2, 2, 2, 3, 1, 1, 2, 2]


def test_tokens_stay_unknown_where_entities_are_left_alone(make_nlp):
    nlp = make_nlp(labels=LABELS, annotate_ents=False)
    assert not nlp(TEXT).has_annotation("ENT_IOB")


def test_a_doc_can_be_annotated_again(make_nlp):
    nlp = make_nlp(labels=LABELS)
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.9)])
    doc = nlp(nlp(TEXT))
    assert ents(doc) == [("Bill Gates", "person")]
    assert len(doc.spans["gliner_ner"]) == 1


def test_text_between_spaces_is_named_as_it_stands(make_nlp):
    nlp = make_nlp(labels=LABELS)
    stub_network(nlp, lambda query: [ScoredSpan(0, 2, "person", 0.9)])
    doc = nlp("  Bill \n\n Gates  \t left")
    assert [ent.text for ent in doc.ents] == ["Bill \n\n Gates"]
    assert doc.ents[0].start_char == 2


def test_neighbours_with_the_same_label_are_one_on_request(make_nlp):
    def find(query):
        words = {word: row for row, word in enumerate(query.words)}
        return [
            ScoredSpan(words[word], words[word] + 1, label, score)
            for word, label, score in [("New", "city", 0.9), ("York", "city", 0.8), ("Times", "company", 0.7)]
        ]

    for merge, expected in [
        (False, [("New", "city"), ("York", "city"), ("Times", "company")]),
        (True, [("New York", "city"), ("Times", "company")]),
    ]:
        nlp = make_nlp(labels=["city", "company"], merge_adjacent=merge)
        stub_network(nlp, find)
        assert ents(nlp("The New York Times")) == expected
