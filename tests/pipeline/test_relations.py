"""Relations: what is asked about the entities of a Doc, which of them become head and tail, and their gold."""

import itertools

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.pipeline.prompts import RELATION_INSTRUCTION
from spacy_gliner.pipeline.relations import Relations, head_text, nearest
from spacy_gliner.pipeline.results import Relation, write_relations
from spacy_gliner.types import ScoredSpan

from .components import LANGUAGE, NAMES, RELATIONS
from .helpers import stub_network

VOCAB = spacy.blank(LANGUAGE).vocab
TEXT = "Bill Gates founded Microsoft in Seattle with Steve Jobs . Bill Gates met Ada in London ."


def make_doc(nlp, text=TEXT, entities=NAMES):
    """A Doc of the text's words, with its entities."""
    doc = Doc(nlp.vocab, words=text.split())
    by_words = {tuple(name.split()): label for label, names in entities.items() for name in names}
    found = [
        Span(doc, start, start + len(words), label=label)
        for words, label in by_words.items()
        for start in range(len(doc))
        if tuple(token.text for token in doc[start : start + len(words)]) == words
    ]
    doc.set_ents(spacy.util.filter_spans(found))
    return doc


@pytest.fixture(scope="module", autouse=True)
def loaded(tiny_span_checkpoint):
    """A pipeline that keeps the network in memory, so that it is read once."""
    nlp = RELATIONS.nlp(tiny_span_checkpoint)
    nlp("Ada")
    yield nlp


@pytest.fixture
def make_nlp(tiny_span_checkpoint):
    """A function that makes a pipeline of `gliner_relations`, whose network finds what a test says: texts by relation
    and head."""

    def make(facts=(), relations=("met",), checkpoint=tiny_span_checkpoint, **config):
        nlp = spacy.blank(LANGUAGE)
        source = {"name": str(checkpoint)}
        nlp.add_pipe("gliner_relations", config={"relations": list(relations), "model": {"source": source}, **config})
        nlp.seen = stub_network(nlp, lambda query: find_facts(query, facts), name="gliner_relations")
        return nlp

    return make


def find_facts(query, facts):
    """For each label the spans of its tails: facts are (head, what is read for the relation, tail, score)."""
    prompts = dict(zip(query.labels, query.label_prompts, strict=True))
    for label, prompt in prompts.items():
        for head, relation, tail, score in facts:
            words = tuple(tail.split())
            for start in range(len(query.words)):
                if prompt == f"{head} <> {relation}" and query.words[start : start + len(words)] == words:
                    yield ScoredSpan(start, start + len(words), label, score)


def facts_of(doc):
    return [relation.to_tuple() for relation in doc._.gliner_relations]


def prompts_of(nlp):
    return {prompt for query in nlp.seen for prompt in query.label_prompts}


# -- what is asked


def test_every_head_is_asked_for_every_relation_behind_the_instruction(make_nlp):
    nlp = make_nlp(relations=["met", "founded by"])
    nlp(make_doc(nlp))
    heads = ["Bill Gates", "Microsoft", "Seattle", "Steve Jobs", "Ada", "London"]
    assert prompts_of(nlp) == {f"{head} <> {relation}" for head in heads for relation in ("met", "founded by")}
    assert {" ".join(query.instruction) for query in nlp.seen} == {
        "Identify the relation in the given text , highlighting the relevant entity :"
    }
    assert RELATION_INSTRUCTION.replace(" ", "") == "".join(nlp.seen[0].instruction)
    assert {query.words for query in nlp.seen} == {tuple(TEXT.split())}


def test_the_description_is_read_and_the_name_is_returned(make_nlp):
    relations = [{"name": "acquaintance", "description": "has met"}]
    nlp = make_nlp([("Ada", "has met", "Steve Jobs", 0.9)], relations)
    assert facts_of(nlp(make_doc(nlp))) == [("Ada", "acquaintance", "Steve Jobs")]


def test_heads_are_asked_for_the_relations_that_allow_their_label(make_nlp):
    nlp = make_nlp(relations=[{"name": "founded by", "head": ["company", "band"]}, {"name": "in", "head": ["city"]}])
    nlp(make_doc(nlp))
    assert prompts_of(nlp) == {"Microsoft <> founded by", "Seattle <> in", "London <> in"}


def test_a_doc_without_entities_asks_nothing_and_has_no_relations(make_nlp):
    nlp = make_nlp([("Ada", "met", "Bill", 0.9)])
    for doc in (Doc(nlp.vocab, words=TEXT.split()), make_doc(nlp, entities={}), nlp.make_doc("")):
        doc = nlp(doc)
        assert doc._.gliner_relations == []
        assert doc.spans["gliner_relations"].attrs["heads"] == []
    assert nlp.seen == []


def test_a_doc_whose_entities_nothing_allows_asks_nothing(make_nlp):
    nlp = make_nlp(relations=[{"name": "flows into", "head": ["river"]}])
    assert nlp(make_doc(nlp))._.gliner_relations == []
    assert nlp.seen == []


def test_heads_come_from_the_named_group_alone(make_nlp):
    nlp = make_nlp([("met", "met", "Ada", 0.9), ("Steve Jobs", "met", "Ada", 0.9)], entities_key="heads")
    doc = make_doc(nlp)
    doc.spans["heads"] = [Span(doc, 12, 13, label="verb")]
    assert facts_of(nlp(doc)) == [("met", "met", "Ada")]
    assert prompts_of(nlp) == {"met <> met"}


def test_a_missing_group_is_an_error_that_names_it(make_nlp):
    nlp = make_nlp(entities_key="heads")
    with pytest.raises(ValueError, match="no span group 'heads'.*before, or set entities_key to null"):
        nlp(TEXT)


def test_where_nothing_is_asked_no_group_is_missed(make_nlp):
    nlp = make_nlp(entities_key="heads")
    silent = nlp.make_doc(TEXT)
    silent._.gliner_relation_labels = []
    assert facts_of(nlp("")) == facts_of(nlp(silent)) == []


def test_a_head_that_would_leave_no_room_for_the_text_is_left_out_and_said(make_nlp, caplog):
    nlp = make_nlp([("Ada", "met", "Bill", 0.9)])
    url = "https://" + "x" * 500
    doc = Doc(nlp.vocab, words=["Ada", "met", "Bill", url])
    doc.ents = [Span(doc, 0, 1, label="x"), Span(doc, 3, 4, label="x")]
    assert facts_of(nlp(doc)) == [("Ada", "met", "Bill")]
    assert "No relations of the entity 'https://xx" in caplog.text


def test_a_span_that_can_be_no_tail_takes_no_place_from_another(make_nlp):
    nlp = make_nlp([("Bill Gates", "met", "Bill Gates and Ada", 0.9), ("Bill Gates", "met", "Ada", 0.8)])
    doc = Doc(nlp.vocab, words="Bill Gates and Ada met".split())
    doc.ents = [Span(doc, 0, 2, label="person")]
    assert facts_of(nlp(doc)) == [("Bill Gates", "met", "Ada")]


def test_one_tail_counts_both_ends_of_a_symmetric_relation(make_nlp):
    facts = [("Ada", "spouse", "Bill", 0.9), ("Bill", "spouse", "Cid", 0.8), ("Cid", "spouse", "Dan", 0.7)]
    nlp = make_nlp(facts, [{"name": "spouse", "symmetric": True, "one_tail": True}])
    doc = Doc(nlp.vocab, words=["Ada", "Bill", "Cid", "Dan"])
    doc.ents = [Span(doc, row, row + 1, label="person") for row in range(4)]
    assert facts_of(nlp(doc)) == [("Ada", "spouse", "Bill"), ("Cid", "spouse", "Dan")]


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_symmetric_relation_is_right_and_learned_whichever_way_round(make_nlp, symmetric):
    nlp = make_nlp([("Bill", "spouse", "Ada", 0.9)], [{"name": "spouse", "symmetric": symmetric}])
    predicted, reference = (Doc(nlp.vocab, words=["Ada", "met", "Bill"]) for _ in range(2))
    predicted.ents = [Span(predicted, row, row + 1, label="person") for row in (0, 2)]
    reference._.gliner_relations = [Relation(reference[0:1], "spouse", reference[2:3])]
    pipe = nlp.get_pipe("gliner_relations")
    example = Example(predicted, reference)
    gold = pipe.task.gold(example, pipe.task.parse(pipe.cfg["labels"]))
    assert sorted(span.start for span in gold) == ([0, 2] if symmetric else [2])
    assert nlp.evaluate([example])["rel_micro_f"] == (1.0 if symmetric else 0.0)


def test_a_component_with_a_name_of_its_own_has_a_group_of_its_own(make_nlp, tiny_span_checkpoint):
    nlp = make_nlp([("Ada", "met", "Bill", 0.9)])
    source = {"name": str(tiny_span_checkpoint)}
    nlp.add_pipe("gliner_relations", name="more", config={"relations": ["knows"], "model": {"source": source}})
    stub_network(nlp, lambda query: find_facts(query, [("Ada", "knows", "Bill", 0.8)]), name="more")
    doc = Doc(nlp.vocab, words=["Ada", "met", "Bill"])
    doc.ents = [Span(doc, 0, 1, label="person")]
    assert facts_of(nlp(doc)) == [("Ada", "knows", "Bill"), ("Ada", "met", "Bill")]
    assert {"gliner_relations", "more"} <= set(doc.spans)


def test_heads_of_white_space_are_not_asked_for(make_nlp):
    nlp = make_nlp(entities_key="heads")
    doc = Doc(nlp.vocab, words=["Ada", "\n", "met"])
    doc.spans["heads"] = [Span(doc, 0, 2, label="x"), Span(doc, 1, 2, label="x")]
    nlp(doc)
    assert prompts_of(nlp) == {"Ada <> met"}


ODD_NAMES = ["A <> B", "<>", "a:b", "New\n\nYork", "\x00", "名前 🙂", "it's", "<<ENT>>", "x\u200by", '"quoted"']


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("relation", ["met", "<>", "a <> b", "x:y", "名"])
def test_heads_and_relations_may_hold_any_characters(make_nlp, name, relation):
    words = name.split(" ") if "\n" not in name else ["New", "\n\n", "York"]
    nlp = make_nlp([(" ".join(name.split()), relation, "Ada", 0.9)], [relation, "another"])
    doc = Doc(nlp.vocab, words=[*words, "met", "Ada"])
    doc.ents = [Span(doc, 0, len(words), label="x")]
    (found,) = nlp(doc)._.gliner_relations
    assert (found.head.start, found.head.end, found.label, found.tail.text) == (0, len(words), relation, "Ada")


def test_what_reads_the_same_is_told_apart(make_nlp):
    """`A <> B` with `C` and `A` with `B <> C` are asked with the same words."""
    nlp = make_nlp([("A", "B <> C", "Ada", 0.9)], ["C", "B <> C"])
    doc = Doc(nlp.vocab, words=["A", "<>", "B", "A", "met", "Ada"])
    doc.ents = [Span(doc, 0, 3, label="x"), Span(doc, 3, 4, label="x")]
    assert set(facts_of(nlp(doc))) == {("A", "B <> C", "Ada"), ("A <> B", "C", "Ada")}


# -- which become head and tail


def test_relations_stand_on_the_doc_and_in_the_span_group(make_nlp):
    nlp = make_nlp([("Bill Gates", "founded", "Microsoft", 0.9)], ["founded"])
    doc = nlp(make_doc(nlp))
    (relation,) = doc._.gliner_relations
    assert (relation.head.text, relation.head.label_, relation.label) == ("Bill Gates", "person", "founded")
    assert (relation.tail.text, relation.tail.label_) == ("Microsoft", "company")
    assert relation.score == pytest.approx(0.9)
    group = doc.spans["gliner_relations"]
    assert [(span.text, span.label_) for span in group] == [("Microsoft", "founded")]
    assert group.attrs == {
        "component": "gliner_relations",
        "scores": [relation.score],
        "heads": [[0, 2]],
        "head_labels": ["person"],
        "tail_labels": ["company"],
    }


@pytest.mark.parametrize("tail, head_start", [("founded", 0), ("met", 10), ("Ada", 10), ("Microsoft", 0), (".", 10)])
def test_of_several_mentions_the_nearest_is_the_head(make_nlp, tail, head_start):
    nlp = make_nlp([("Bill Gates", "met", tail, 0.9)])
    doc = make_doc(nlp)
    relations = nlp(doc)._.gliner_relations
    assert [(relation.head.start, relation.tail.text) for relation in relations] == [(head_start, tail)]


mention_lists = st.lists(
    st.tuples(st.integers(0, 18), st.integers(1, 3)).map(lambda x: (x[0], min(sum(x), 20))), max_size=6
)


@given(mention_lists, st.tuples(st.integers(0, 16), st.integers(1, 4)))
def test_the_nearest_mention_never_overlaps_the_tail(mentions, tail):
    doc = Doc(VOCAB, words=["a"] * 20)
    tail = doc[tail[0] : sum(tail)]
    spans = [doc[start:end] for start, end in mentions]
    apart = {
        (span.start, span.end): max(tail.start - span.end, span.start - tail.end)
        for span in spans
        if not {token.i for token in span} & {token.i for token in tail}
    }
    found = nearest(tail, spans)
    assert (found is None) == (not apart)
    if found is not None:
        assert apart[found.start, found.end] == min(apart.values())


def test_nothing_is_related_to_itself(make_nlp):
    nlp = make_nlp([("Bill Gates", "met", tail, 0.9) for tail in ("Bill Gates", "Ada")])
    assert facts_of(nlp(make_doc(nlp))) == [("Bill Gates", "met", "Ada")]
    nlp = make_nlp([("Bill Gates", "met", "Gates", 0.9)])
    assert facts_of(nlp(make_doc(nlp, "Bill Gates met Ada ."))) == []


def test_a_fact_that_stands_in_a_text_twice_is_reported_once_where_it_scored_best(make_nlp):
    nlp = make_nlp([("Ada", "met", "Bill", 0.9)])
    doc = make_doc(nlp, "Bill met Ada . Ada met Bill .", {"person": ["Ada"]})
    pipe = nlp.get_pipe("gliner_relations")
    label = nlp(doc) and nlp.seen[0].labels[0]
    pipe.set_annotations([doc], [[ScoredSpan(0, 1, label, 0.6), ScoredSpan(6, 7, label, 0.8)]])
    ((head, _, tail, score),) = doc._.gliner_relations
    assert (head.start, tail.start, score) == (4, 6, 0.8)


labels = st.sampled_from(["person", "city", "company"])
entity_lists = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 3), labels), max_size=6)
schemas = st.fixed_dictionaries(
    {"symmetric": st.booleans(), "one_tail": st.booleans()},
    optional={"head": st.lists(labels, max_size=2), "tail": st.lists(labels, max_size=2)},
)


@settings(max_examples=100)
@given(
    words=st.lists(st.sampled_from("abcd"), min_size=12, max_size=12),
    entities=entity_lists,
    schema=schemas,
    tails=st.sampled_from(["spans", "entities"]),
    key=st.sampled_from([None, "heads"]),
    data=st.data(),
)
def test_whatever_is_found_relations_keep_their_promises(words, entities, schema, tails, key, data):
    doc = Doc(VOCAB, words=words)
    spans = [Span(doc, start, min(start + width, 12), label=label) for start, width, label in entities]
    task = Relations("found", key, tails)
    if key is None:
        doc.ents = spacy.util.filter_spans(spans)
    else:
        doc.spans[key] = spans
    types = task.parse([{"name": "r", **schema}, "other"])
    asked = [label for query in task.asks(doc, doc[:], types) for label in query.labels]
    found = data.draw(
        st.lists(
            st.builds(
                lambda start, width, label, score: ScoredSpan(start, min(start + width, 12), label, score),
                st.integers(0, 11),
                st.integers(1, 4),
                st.sampled_from(asked),
                st.floats(0.1, 1),
            ),
            max_size=12,
        )
        if asked
        else st.just([])
    )
    task.annotate(doc, found, types)
    relations = doc._.gliner_relations
    there = {(span.start, span.end, span.label_) for span in task.entities(doc)}
    facts = set()
    for head, name, tail, score in relations:
        assert (head.start, head.end, head.label_) in there
        assert head.end <= tail.start or tail.end <= head.start
        assert head_text(head) != head_text(tail)
        assert score in {span.score for span in found}
        if tails == "entities" or (name == "r" and schema.get("tail")):
            assert (tail.start, tail.end, tail.label_) in there
        if name == "r":
            assert not schema.get("head") or head.label_ in schema["head"]
            assert not schema.get("tail") or tail.label_ in schema["tail"]
        fact = (name, head_text(head), head_text(tail))
        assert fact not in facts
        if name == "r" and schema["symmetric"]:
            assert (name, fact[2], fact[1]) not in facts
        if name == "r" and schema["one_tail"]:
            assert not any(other[:2] == fact[:2] for other in facts)
        facts.add(fact)
    again = doc.copy()
    task.annotate(again, found, types)
    assert [relation.to_json() for relation in again._.gliner_relations] == [r.to_json() for r in relations]


def test_an_order_of_finding_does_not_matter(make_nlp):
    nlp = make_nlp(relations=["met"])
    doc = make_doc(nlp)
    nlp(doc)
    label = {prompt: label for q in nlp.seen for label, prompt in zip(q.labels, q.label_prompts, strict=True)}
    found = [
        ScoredSpan(3, 4, label["Bill Gates <> met"], 0.7),
        ScoredSpan(7, 9, label["Bill Gates <> met"], 0.8),
        ScoredSpan(5, 6, label["Ada <> met"], 0.9),
    ]
    results = set()
    for order in itertools.permutations(found):
        nlp.get_pipe("gliner_relations").set_annotations([doc], [list(order)])
        results.add(tuple(facts_of(doc)))
    assert results == {
        (("Bill Gates", "met", "Microsoft"), ("Bill Gates", "met", "Steve Jobs"), ("Ada", "met", "Seattle"))
    }


def test_tails_may_be_any_words_unless_told_otherwise(make_nlp):
    facts = [("Ada", "met", "founded", 0.9), ("Ada", "met", "Gates founded", 0.8), ("Ada", "met", "in Seattle", 0.7)]
    nlp = make_nlp(facts)
    assert [fact[2] for fact in facts_of(nlp(make_doc(nlp)))] == ["founded", "in Seattle"]
    nlp = make_nlp(facts, tails="entities")
    assert [fact[2] for fact in facts_of(nlp(make_doc(nlp)))] == ["Bill Gates", "Seattle"]


def test_a_tail_with_a_type_is_the_entity_it_shares_most_with(make_nlp):
    relations = [{"name": "in", "tail": ["city"]}]
    nlp = make_nlp([("Ada", "in", "York", 0.9), ("Ada", "in", "Steve Jobs", 0.9), ("Ada", "in", "in", 0.9)], relations)
    doc = nlp(make_doc(nlp, "Ada lives in New York City with Steve Jobs"))
    assert facts_of(doc) == [("Ada", "in", "New York City")]
    assert doc._.gliner_relations[0].tail.label_ == "city"


def test_words_with_several_labels_are_the_tail_of_the_right_one(make_nlp):
    relations = [{"name": "in", "tail": ["city"]}]
    for order in (["city", "person"], ["person", "city"]):
        nlp = make_nlp([("Ada", "in", "Paris", 0.9)], relations, entities_key="heads")
        doc = Doc(nlp.vocab, words=["Ada", "in", "Paris"])
        doc.spans["heads"] = [Span(doc, 0, 1, label="x"), *(Span(doc, 2, 3, label=label) for label in order)]
        (relation,) = nlp(doc)._.gliner_relations
        assert relation.tail.label_ == "city"


@pytest.mark.parametrize("best", ["Ada", "Bill Gates"])
def test_a_symmetric_relation_is_reported_once_as_it_scored_best(make_nlp, best):
    facts = [("Ada", "met", "Bill Gates", 0.7), ("Bill Gates", "met", "Ada", 0.7), ("Ada", "met", "Steve Jobs", 0.6)]
    facts = [(head, name, tail, score + 0.1 * (head == best)) for head, name, tail, score in facts]
    nlp = make_nlp(facts, [{"name": "met", "symmetric": True}])
    other = {"Ada": "Bill Gates", "Bill Gates": "Ada"}[best]
    assert set(facts_of(nlp(make_doc(nlp)))) == {(best, "met", other), ("Ada", "met", "Steve Jobs")}
    nlp = make_nlp(facts)
    assert len(facts_of(nlp(make_doc(nlp)))) == 3


def test_one_tail_keeps_the_best_of_each_head(make_nlp):
    facts = [("Ada", "met", "Bill Gates", 0.7), ("Ada", "met", "Steve Jobs", 0.8), ("London", "met", "Ada", 0.6)]
    nlp = make_nlp(facts, [{"name": "met", "one_tail": True}])
    assert facts_of(nlp(make_doc(nlp))) == [("Ada", "met", "Steve Jobs"), ("London", "met", "Ada")]


def test_relations_have_thresholds_of_their_own(make_nlp):
    facts = [("Ada", relation, "Steve Jobs", 0.6) for relation in ("met", "has seen", "x")]
    relations = ["met", {"name": "saw", "description": "has seen", "threshold": 0.7}, {"name": "x", "threshold": 0.7}]
    nlp = make_nlp(facts, relations, label_thresholds=[["x", 0.5]])
    assert [fact[1] for fact in facts_of(nlp(make_doc(nlp)))] == ["met", "x"]
    doc = make_doc(nlp)
    doc._.gliner_relation_labels = ["saw", "met"]
    assert [fact[1] for fact in facts_of(nlp(doc))] == ["met"]


def test_relations_of_a_doc_can_bring_their_own_threshold(make_nlp):
    nlp = make_nlp([("Ada", "met", "Steve Jobs", 0.6)])
    doc = make_doc(nlp)
    doc._.gliner_relation_labels = [{"name": "met", "threshold": 0.7}]
    assert facts_of(nlp(doc)) == []


def test_relations_of_a_doc_are_read_with_the_schemas_of_the_component(make_nlp):
    nlp = make_nlp(relations=[{"name": "met", "head": ["person"], "description": "has met"}, "in"])
    docs = [make_doc(nlp) for _ in range(2)]
    docs[0]._.gliner_relation_labels = ["met"]
    docs[1]._.gliner_relation_labels = [{"name": "met", "head": ["city"]}]
    for doc, expected in zip(docs, [{"Bill Gates", "Steve Jobs", "Ada"}, {"Seattle", "London"}], strict=True):
        nlp.seen.clear()
        nlp(doc)
        assert {prompt.partition(" <> ")[0] for prompt in prompts_of(nlp)} == expected


# -- many heads, long Docs


def test_many_heads_and_relations_are_all_asked_about_every_word(make_nlp, tiny_checkpoint):
    relations = [f"met {number}" for number in range(12)]
    nlp = make_nlp(relations=relations, checkpoint=tiny_checkpoint)
    doc = Doc(nlp.vocab, words=[f"h{number}" for number in range(40)])
    doc.ents = [Span(doc, row, row + 1, label="x") for row in range(40)]
    nlp(doc)
    asked = {pair for q in nlp.seen for pair in itertools.product(q.words, q.label_prompts)}
    heads = [token.text for token in doc]
    assert asked == set(itertools.product(heads, (f"{head} <> {relation}" for head in heads for relation in relations)))
    shim = shim_of(nlp.get_pipe("gliner_relations").model)
    sizes = [
        shim.tokenizer.prompt_size(query) + sum(map(len, shim.tokenizer.pieces(query.words))) for query in nlp.seen
    ]
    assert max(sizes) <= shim.max_pieces == 128


def test_a_head_and_its_tail_are_found_anywhere_in_5000_words(make_nlp, tiny_checkpoint):
    nlp = make_nlp(checkpoint=tiny_checkpoint)
    pairs = {f"h{number}": f"t{number}" for number in range(100)}

    def find(query):
        for label, prompt in zip(query.labels, query.label_prompts, strict=True):
            tail = pairs[prompt.partition(" ")[0]]
            for row, word in enumerate(query.words):
                if word == tail:  # two words; where only the first is seen it scores higher
                    whole = query.words[row : row + 2] == (tail, "more")
                    yield ScoredSpan(row, row + 1 + whole, label, 0.8 if whole else 0.95)

    stub_network(nlp, find, name="gliner_relations")
    for offset in (0, 19):
        words, heads, expected = ["O"] * 5000, [], set()
        for number, (head, tail) in enumerate(pairs.items()):
            at = number * 50 + (offset + number) % 30
            gap = 4 + number % 15
            for mention in (at, at + gap + 2):
                words[mention] = head
                heads.append(mention)
            words[at + gap - 1 : at + gap + 1] = [tail, "more"]
            expected.add((at + gap + 2, at + gap - 1, at + gap + 1))
        doc = Doc(nlp.vocab, words=words)
        doc.ents = [Span(doc, head, head + 1, label="x") for head in heads]
        relations = nlp(doc)._.gliner_relations
        assert {(r.head.start, r.tail.start, r.tail.end) for r in relations} == expected
        assert len(relations) == 100


# -- gold


def gold_example(nlp, relations, text=TEXT, **words):
    """An Example whose reference has these relations, as ((start, end), name, (start, end))."""
    reference = make_doc(nlp, text)
    reference._.gliner_relations = [
        Relation(Span(reference, *head, label="person"), name, Span(reference, *tail)) for head, name, tail in relations
    ]
    return Example(words.get("predicted", Doc(nlp.vocab, words=text.split())), reference)


def lessons(nlp, example):
    """What is asked in training and its gold, as (prompt, words of the gold spans)."""
    asked = []
    for query, gold, *_ in nlp.get_pipe("gliner_relations").lessons([example]):
        for label, prompt in zip(query.labels, query.label_prompts, strict=True):
            asked.append((prompt, [query.words[s.start : s.end] for s in gold if s.label == label]))
    return dict(asked)


ALL = {"@misc": "spacy_gliner.sample_labels.v1", "max_labels": 999, "max_negatives": 999, "shuffle": False}


def all_lessons(make_nlp, example_of, **config):
    """Every lesson that may be drawn: absent relations are drawn at random."""
    nlp = make_nlp(sample_labels=ALL, **config)
    example = example_of(nlp)
    asked = {}
    for _ in range(9):
        asked |= lessons(nlp, example)
    return asked


def test_training_asks_what_prediction_asks_and_knows_the_tails(make_nlp):
    asked = all_lessons(make_nlp, lambda nlp: gold_example(nlp, [((0, 2), "met", (7, 9)), ((0, 2), "met", (13, 14))]))
    heads = ["Bill Gates", "Microsoft", "Seattle", "Steve Jobs", "Ada", "London"]
    assert set(asked) == {f"{head} <> met" for head in heads}
    assert {prompt: gold for prompt, gold in asked.items() if gold} == {
        "Bill Gates <> met": [("Steve", "Jobs"), ("Ada",)]
    }


def test_training_asks_for_heads_and_relations_that_only_the_reference_has(make_nlp):
    asked = all_lessons(make_nlp, lambda nlp: gold_example(nlp, [((2, 3), "new", (4, 5))]))
    assert asked["founded <> new"] == [("in",)]
    assert asked["Ada <> new"] == asked["founded <> met"] == []


def test_gold_is_given_to_a_copy_and_not_to_the_predicted_doc(make_nlp):
    nlp = make_nlp()
    example = gold_example(nlp, [((0, 2), "met", (7, 9))])
    before = example.predicted.to_bytes()
    given = nlp.get_pipe("gliner_relations").task.given(example)
    assert [ent.text for ent in given.ents][:2] == ["Bill Gates", "Microsoft"]
    assert given._.gliner_relations == []
    assert example.predicted.to_bytes() == before


def test_entities_of_the_prediction_are_heads_where_the_reference_has_none(make_nlp):
    nlp = make_nlp()
    predicted = make_doc(nlp)
    reference = Doc(nlp.vocab, words=TEXT.split())
    reference._.gliner_relations = [Relation(reference[2:3], "met", reference[4:6])]
    given = nlp.get_pipe("gliner_relations").task.given(Example(predicted, reference))
    assert [ent.text for ent in given.ents] == [
        "Bill Gates",
        "founded",
        "Microsoft",
        "in Seattle",
        "Steve Jobs",
        "Bill Gates",
        "Ada",
        "London",
    ]


def test_heads_without_a_label_take_that_of_the_entity_or_are_just_entities(make_nlp):
    nlp = make_nlp(relations=[{"name": "met", "head": ["person"]}], sample_labels=ALL)
    predicted, reference = Doc(nlp.vocab, words=TEXT.split()), make_doc(nlp)
    reference._.gliner_relations = [Relation(reference[0:2], "met", reference[12:13])]
    example = Example(predicted, reference)
    given = nlp.get_pipe("gliner_relations").task.given(example)
    assert [(ent.text, ent.label_) for ent in given.ents if ent.start in (0, 12)] == [
        ("Bill Gates", "person"),
        ("met", "entity"),
    ]
    assert lessons(nlp, example)["Bill Gates <> met"] == [("met",)]


def test_ends_of_gold_relations_join_the_heads_of_a_group(make_nlp):
    nlp = make_nlp(entities_key="heads")
    example = gold_example(nlp, [((0, 2), "met", (1, 3))])
    example.reference.spans["heads"] = [Span(example.reference, 0, 2, label="person"), example.reference[3:4]]
    given = nlp.get_pipe("gliner_relations").task.given(example)
    assert sorted((span.start, span.end) for span in given.spans["heads"]) == [(0, 2), (1, 3), (3, 4)]
    assert "heads" not in example.predicted.spans


@pytest.mark.parametrize(
    "facts, lost",
    [
        ([((1, 3), "met", (7, 9)), ((0, 3), "met", (7, 9))], True),
        ([((7, 9), "met", (0, 3)), ((7, 9), "met", (1, 3))], False),  # a tail need not be an entity
        ([((0, 3), "met", (7, 9)), ((0, 2), "met", (14, 15)), ((10, 12), "met", (7, 9))], False),  # elsewhere it is one
    ],
)
def test_heads_that_doc_ents_can_not_hold_are_told_of_where_nothing_is_learned_of_them(make_nlp, caplog, facts, lost):
    for entities_key in (None, "heads"):
        caplog.clear()
        nlp = make_nlp(entities_key=entities_key, sample_labels=ALL)
        asked = lessons(nlp, gold_example(nlp, facts))
        assert ("relations of: 'Gates founded'" in caplog.text) == (lost and entities_key is None)
        assert bool(asked.get("Gates founded <> met")) == (lost and entities_key is not None)


def test_gold_moves_to_the_tokens_of_the_prediction(make_nlp, caplog):
    nlp = make_nlp()
    reference = Doc(
        nlp.vocab, words=["Bill", "-", "Gates", "met", "Ada", "Love"], spaces=[False, False, True, True, True, False]
    )
    reference.ents = [Span(reference, 0, 3, label="person"), Span(reference, 4, 6, label="person")]
    reference._.gliner_relations = [
        Relation(reference[0:3], "met", reference[4:6]),
        Relation(reference[0:1], "met", reference[4:6]),
    ]
    predicted = Doc(nlp.vocab, words=["Bill-Gates", "met", "Ada Love"], spaces=[True, True, False])
    example = Example(predicted, reference)
    task = nlp.get_pipe("gliner_relations").task
    assert [(span.start, span.end, task.name_of(span.label)) for span in task.gold(example)] == [(2, 3, "met")]
    assert lessons(nlp, example)["Bill-Gates <> met"] == [("Ada Love",)]
    assert "gold spans don't fall on token borders" in caplog.text


def test_gold_of_the_components_own_group_goes_over_that_of_others(make_nlp):
    nlp = make_nlp(spans_key="own")
    example = gold_example(nlp, [((0, 2), "other", (7, 9))])
    task = nlp.get_pipe("gliner_relations").task
    assert task.observe(example) == ["other"]
    reference = example.reference
    write_relations(reference, "own", [Relation(reference[13:14], "mine", reference[7:9])])
    assert task.observe(example) == ["mine"]
    assert [(span.start, task.name_of(span.label)) for span in task.gold(example)] == [(7, "mine")]


def test_a_component_without_relations_takes_those_of_the_data(make_nlp):
    nlp = make_nlp(relations=[])
    examples = [gold_example(nlp, [((0, 2), name, (7, 9))]) for name in ("met", "founded", "met")]
    nlp.initialize(lambda: examples)
    assert nlp.get_pipe("gliner_relations").labels == ("met", "founded")


def test_a_reference_without_relations_teaches_nothing_and_one_with_none_that_there_are_none(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    predicted = make_doc(nlp)
    example = Example(predicted, make_doc(nlp))
    assert nlp.get_pipe("gliner_relations").task.gold(example) is None
    assert lessons(nlp, example) == {}
    example.reference._.gliner_relations = []
    assert nlp.get_pipe("gliner_relations").task.gold(example) == []
    assert lessons(nlp, example) and not any(lessons(nlp, example).values())
