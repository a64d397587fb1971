"""Relations as displaCy arcs and as a networkx graph."""

import sys

import pytest
import spacy
from spacy.tokens import Span

from spacy_gliner.pipeline.extensions import register_extensions
from spacy_gliner.pipeline.results import Relation
from spacy_gliner.views import relation_arcs, relation_graph, render_relations

register_extensions()


def make_doc(text, *facts):
    """A Doc with relations between spans, given as `(head start, head end, relation, tail start, tail end, score)`."""
    doc = spacy.blank("en")(text)
    doc._.gliner_relations = [
        Relation(Span(doc, *fact[:2], label="X"), fact[2], Span(doc, *fact[3:5], label="Y"), fact[5]) for fact in facts
    ]
    return doc


def test_arcs_point_from_head_to_tail():
    doc = make_doc("Bill Gates founded Microsoft .", (0, 2, "owns", 3, 4, 0.8))
    doc._.gliner_relations = [
        *doc._.gliner_relations,
        Relation(Span(doc, 3, 4, label="Y"), "founded by", Span(doc, 0, 2, label="X")),
    ]
    arcs = relation_arcs(doc)
    assert arcs["words"] == [
        {"text": "Bill Gates", "tag": "X"},
        {"text": "founded", "tag": ""},
        {"text": "Microsoft", "tag": "Y"},
        {"text": ".", "tag": ""},
    ]
    assert {(arc["start"], arc["end"], arc["label"], arc["dir"]) for arc in arcs["arcs"]} == {
        (0, 2, "founded by", "left"),
        (0, 2, "owns", "right"),
    }


def test_ends_that_overlap_are_one_block_and_need_no_arc():
    doc = make_doc("New York City Hall stands", (0, 3, "has", 2, 4, 0.9), (0, 3, "is", 4, 5, 0.9))
    arcs = relation_arcs(doc)
    assert [word["text"] for word in arcs["words"]] == ["New York City Hall", "stands"]
    assert [(arc["start"], arc["end"], arc["label"]) for arc in arcs["arcs"]] == [(0, 1, "is")]


def test_a_doc_without_relations_is_its_words():
    assert relation_arcs(make_doc("Nothing here"))["arcs"] == []
    assert relation_arcs(make_doc("")) == {"words": [], "arcs": []}


def test_rendering_gives_svg_with_the_labels():
    svg = render_relations(make_doc("Ada met Babbage", (0, 1, "met", 2, 3, 0.9)), jupyter=False)
    assert "<svg" in svg and "met" in svg and "Babbage" in svg


def test_a_graph_holds_every_relation_once_with_its_best_score():
    docs = [
        make_doc("Ada met Babbage", (0, 1, "met", 2, 3, 0.6)),
        make_doc("Ada met Babbage and Ada knew Babbage", (0, 1, "met", 2, 3, 0.9), (4, 5, "knew", 6, 7, None)),
    ]
    graph = relation_graph(docs)
    assert set(graph.edges(keys=True)) == {("Ada", "Babbage", "met"), ("Ada", "Babbage", "knew")}
    assert graph.edges["Ada", "Babbage", "met"]["score"] == 0.9
    assert graph.edges["Ada", "Babbage", "knew"]["score"] is None
    assert graph.nodes["Ada"]["label"] == "X"


def test_without_networkx_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="graph"):
        relation_graph(make_doc("Ada"))
