"""Relations as they are asked for: names, schemas, and what is wrong with them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_gliner.pipeline.relation_types import RelationType, parse_relations

names = st.sampled_from(["a", "b", " a ", "a <> b", "a:b", "x\ny", "名", "'\"", "$1", "100%"])
sides = st.lists(st.sampled_from(["person", "city", "a:b"]), max_size=2, unique=True).map(tuple)
types = st.builds(
    RelationType,
    name=names,
    prompt=names,
    threshold=st.none() | st.floats(0, 1),
    head=sides,
    tail=sides,
    symmetric=st.booleans(),
    one_tail=st.booleans(),
)


@given(st.lists(types, max_size=3, unique_by=(lambda r: r.name, lambda r: r.prompt)))
def test_parsing_inverts_unparsing_and_json(relations):
    plain = [relation.unparse() for relation in relations]
    assert parse_relations(plain) == relations
    assert parse_relations(json.loads(json.dumps(plain))) == relations


def test_names_and_schemas_are_read():
    schema = {
        "name": "founded by",
        "description": "was founded by",
        "threshold": 1,
        "head": ["company"],
        "tail": ("person",),
        "symmetric": False,
        "one_tail": True,
    }
    assert parse_relations(["works for", schema, {"name": "spouse", "head": None, "symmetric": None}]) == [
        RelationType("works for", "works for"),
        RelationType("founded by", "was founded by", 1.0, ("company",), ("person",), False, True),
        RelationType("spouse", "spouse"),
    ]
    assert parse_relations([]) == parse_relations(()) == []


def test_a_plain_schema_is_written_as_its_name():
    assert [relation.unparse() for relation in parse_relations([{"name": "spouse", "one_tail": False}])] == ["spouse"]


def test_a_name_that_is_repeated_counts_once_where_it_came_first():
    relations = parse_relations(["b", "a", {"name": "b"}, "a"])
    assert [relation.name for relation in relations] == ["b", "a"]


@pytest.mark.parametrize(
    "relations, message",
    [
        ("founded by", "must be a list"),
        (None, "must be a list"),
        ({"a": "b"}, "must be a list"),
        ([""], "must be a name"),
        ([" "], "must be a name"),
        ([3], "must be a name"),
        ([None], "must be a name"),
        ([["a"]], "must be a name"),
        ([{}], "has a 'name'"),
        ([{"description": "x"}], "has a 'name'"),
        ([{"name": "x", "heads": ["a"]}], "may have description, head, one_tail, symmetric, tail, threshold"),
        ([{"name": ""}], "must be a name"),
        ([{"name": 3}], "must be a name"),
        ([{"name": "x", "description": 3}], "must be a name"),
        ([{"name": "x", "threshold": 2}], "threshold of label 'x' must be a number from 0 to 1"),
        ([{"name": "x", "threshold": "0.5"}], "threshold of label 'x' must be a number from 0 to 1"),
        ([{"name": "x", "head": "person"}], "head of relation 'x' must be a list of labels"),
        ([{"name": "x", "tail": [""]}], "tail of relation 'x' must be a list of labels"),
        ([{"name": "x", "tail": [3]}], "tail of relation 'x' must be a list of labels"),
        ([{"name": "x", "head": 3}], "head of relation 'x' must be a list of labels"),
        ([{"name": "x", "head": {"person": 1}}], "head of relation 'x' must be a list of labels"),
        ([{"name": "x", "symmetric": "false"}], "symmetric of relation 'x' must be true or false"),
        ([{"name": "x", "one_tail": 1}], "one_tail of relation 'x' must be true or false"),
        (["x", {"name": "x", "description": "y"}], "'x' is given twice"),
        (["x", {"name": "x", "threshold": 0.4}], "'x' is given twice"),
        ([{"name": "x", "head": ["a"]}, {"name": "x", "head": ["b"]}], "'x' is given twice"),
        (["x", {"name": "y", "description": "x"}], "both read as 'x'"),
        (["a\x1fb"], "control character"),
        (["${a}"], "variable"),
    ],
)
def test_what_is_no_relation_is_an_error_that_says_why(relations, message):
    with pytest.raises(ValueError, match=message):
        parse_relations(relations)
