"""Labels that are read apart: encoded once, kept, saved with the pipeline, and forgotten when the network changes."""

from dataclasses import replace
from unittest.mock import Mock

import pytest
import spacy
import torch
from spacy.tokens import Span
from spacy.training import Example

from spacy_gliner.ml import label_table
from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.ml.label_table import LabelTable, label_pieces
from spacy_gliner.ml.shim import GlinerShim
from spacy_gliner.pipeline import parts
from spacy_gliner.training.optimizers import AdamW

from ..tiny import QUERIES, tiny_bert, tiny_network_checkpoint
from .helpers import TEXTS, assert_same

TEXT = "Bill Gates founded Microsoft in Seattle."
LABELS = ["person", "company", "city"]


@pytest.fixture
def encoded(monkeypatch):
    """The labels that were encoded, in order."""
    seen = []
    encode = label_table.encode_labels

    def spy(prompts, network, tokenizer):
        seen.extend(prompts)
        return encode(prompts, network, tokenizer)

    monkeypatch.setattr(label_table, "encode_labels", spy)
    return seen


@pytest.fixture
def nlp(make_nlp, tiny_bi_checkpoint):
    return make_nlp(LABELS, tiny_bi_checkpoint, threshold=0.2)


def test_every_label_is_encoded_once(nlp, encoded):
    list(nlp.pipe(TEXTS))
    nlp(TEXT)
    assert encoded == LABELS


def test_one_more_label_is_one_label_to_encode(nlp, encoded):
    many = [f"label {number}" for number in range(300)]
    nlp.get_pipe("gliner_ner").label_vectors.encode(many)
    del encoded[:]
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = [*many, "one more"]
    nlp(doc)
    assert encoded == ["one more"]


def test_descriptions_are_what_is_encoded(make_nlp, tiny_bi_checkpoint, encoded):
    nlp = make_nlp([{"name": "person", "description": "who has a name"}], tiny_bi_checkpoint)
    nlp(TEXT)
    nlp.get_pipe("gliner_ner").cfg["labels"] = [{"name": "person", "description": "a human"}]
    nlp(TEXT)
    assert encoded == ["who has a name", "a human"]


@pytest.mark.parametrize("size", [1, 2])
def test_labels_in_several_groups_are_found_as_in_one(make_nlp, tiny_bi_checkpoint, monkeypatch, size):
    expected = make_nlp(LABELS, tiny_bi_checkpoint, threshold=0.2)(TEXT)
    monkeypatch.setattr(parts, "LABELS_APART", size)
    monkeypatch.setattr(parts, "SCORES", 1)
    assert_same([make_nlp(LABELS, tiny_bi_checkpoint, threshold=0.2)(TEXT)], [expected])


def test_a_saved_pipeline_needs_no_pass_over_its_labels(nlp, encoded, tmp_path):
    expected = nlp(TEXT)
    nlp.to_disk(tmp_path)
    del encoded[:]
    again = spacy.load(tmp_path)
    assert_same([again(TEXT)], [expected])
    assert encoded == []


def test_training_forgets_and_encodes_anew(nlp, encoded):
    nlp(TEXT)
    before = shim_of(nlp.get_pipe("gliner_ner").model).label_table.vectors.clone()
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 10, "person")]})
    nlp.initialize(lambda: [example])
    nlp.update([example], sgd=AdamW(0.01, 0.01))
    del encoded[:]
    nlp(TEXT)
    table = shim_of(nlp.get_pipe("gliner_ner").model).label_table
    assert encoded == LABELS
    assert not torch.allclose(table.vectors, before)


def test_vectors_of_frozen_labels_survive_training(make_nlp, tiny_bi_checkpoint, encoded):
    source = {"name": str(tiny_bi_checkpoint)}
    nlp = make_nlp(LABELS, tiny_bi_checkpoint, threshold=0.2, model={"freeze": "labels", "source": source})
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 10, "person")]})
    nlp.initialize(lambda: [example])
    nlp.update([example], sgd=AdamW(0.01, 0.01))
    nlp(TEXT)
    table = shim_of(nlp.get_pipe("gliner_ner").model).label_table
    before, read = table.vectors, table._read
    del encoded[:]
    nlp.update([example], sgd=AdamW(0.01, 0.01))
    nlp(TEXT)
    assert encoded == [] and torch.equal(table.vectors, before)
    assert not torch.equal(table._read, read)


@pytest.mark.parametrize("fusion", ["", "l2l-l2t-t2t"])
def test_frozen_labels_are_encoded_once_for_all_of_a_training(encoded, fusion):
    source = Mock(return_value=tiny_network_checkpoint(label_backbone=tiny_bert(), fusion=fusion))
    source.identity.return_value = None
    shim = GlinerShim(source, freeze="labels")
    batches = [shim.collate(QUERIES, True) for _ in range(2)]
    assert sorted(encoded) == sorted({prompt for query in QUERIES for prompt in query.label_prompts})
    pieces = label_pieces(batches[0].prompts_apart, shim.network, shim.tokenizer)
    shim.own()
    gradients = []
    for labels_apart in (batches[1].labels_apart, pieces):
        shim.network.zero_grad()
        logits = shim.network(replace(batches[1], labels_apart=labels_apart))
        logits.scores.sum().backward()
        weights = shim.network.named_parameters()
        gradients.append({name: weight.grad.clone() for name, weight in weights if weight.grad is not None})
    assert shim.label_table.prompts == {}  # what is predicted is not to read all that was trained
    assert gradients[0].keys() == gradients[1].keys()
    assert not any(name.startswith("encoder.labels.") for name in gradients[0])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_vectors_travel_in_a_file(nlp, make_nlp, tiny_bi_checkpoint, encoded, tmp_path):
    expected, path = nlp(TEXT), tmp_path / "labels.safetensors"
    nlp.get_pipe("gliner_ner").label_vectors.to_disk(path)
    other = make_nlp(LABELS, tiny_bi_checkpoint, threshold=0.2)
    vectors = other.get_pipe("gliner_ner").label_vectors
    vectors.clear()
    del encoded[:]
    assert vectors.from_disk(path) == LABELS
    assert len(vectors) == 3
    assert_same([other(TEXT)], [expected])
    assert encoded == []


def test_vectors_of_another_label_encoder_are_refused(nlp, tmp_path):
    path, pipe = tmp_path / "labels.safetensors", nlp.get_pipe("gliner_ner")
    pipe.label_vectors.to_disk(path)
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 10, "person")]})
    nlp.initialize(lambda: [example])
    nlp.update([example], sgd=AdamW(0.01, 0.01))
    with pytest.raises(ValueError, match="another label encoder"):
        pipe.label_vectors.from_disk(path)
    (tmp_path / "other").write_text("{}")
    with pytest.raises(ValueError, match="holds no vectors"):
        pipe.label_vectors.from_disk(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="no file"):
        pipe.label_vectors.from_disk(tmp_path / "nowhere")


def test_a_label_that_is_too_long_is_named(make_nlp, tiny_bi_checkpoint):
    nlp = make_nlp(["person", "a b " * 100], tiny_bi_checkpoint)
    with pytest.raises(ValueError, match="'a b a b .*reads 128 at most"):
        nlp(TEXT)


def test_networks_that_read_labels_in_the_text_have_none(make_nlp):
    with pytest.raises(ValueError, match="reads labels in the text"):
        make_nlp().get_pipe("gliner_ner").label_vectors.encode()


def test_there_is_nothing_to_write_without_labels(make_nlp, tiny_bi_checkpoint, tmp_path):
    vectors = make_nlp([], tiny_bi_checkpoint).get_pipe("gliner_ner").label_vectors
    vectors.clear()
    vectors.encode()
    with pytest.raises(ValueError, match="no labels to write"):
        vectors.to_disk(tmp_path / "labels.safetensors")


def test_a_table_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(label_table, "KEPT", 3)
    monkeypatch.setattr(label_table, "encode_labels", lambda prompts, *_: torch.ones(len(prompts), 2))
    table = LabelTable()
    table.encode(["a", "b"], None, None)
    table.encode(["b", "c"], None, None)
    assert list(table.prompts) == ["a", "b", "c"]
    table.encode(["d", "a"], None, None)
    assert list(table.prompts) == ["a", "d"]
    table.encode(["e", "d"], None, None, keep=True)
    table.encode(["f", "g"], None, None)
    assert list(table.prompts) == ["e", "d", "f", "g"]
    assert table.saved()[0] == ["e", "d"]


def test_labels_of_single_docs_are_not_saved(nlp, encoded):
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = ["a secret of Mr. X"]
    nlp(doc)
    data = nlp.to_bytes()
    assert b"secret" not in nlp.get_pipe("gliner_ner").to_bytes(exclude=["vocab"])
    again = spacy.blank("en")
    again.add_pipe("gliner_ner")
    again.from_bytes(data)
    del encoded[:]
    again(TEXT)
    assert encoded == []  # the component's own are saved, though nothing had asked for them


def test_heads_of_relations_are_not_saved(tiny_bi_checkpoint):
    nlp = spacy.blank("en")
    source = {"name": str(tiny_bi_checkpoint)}
    nlp.add_pipe("gliner_relations", config={"relations": ["founded"], "model": {"source": source}})
    doc = nlp.make_doc("Patient0 founded Microsoft")
    doc.ents = [Span(doc, 0, 1, label="person")]
    nlp.get_pipe("gliner_relations")(doc)
    assert b"Patient0" not in nlp.get_pipe("gliner_relations").to_bytes(exclude=["vocab"])
    with pytest.raises(ValueError, match="depend on texts"):
        nlp.get_pipe("gliner_relations").label_vectors.to_disk("nowhere")


@pytest.mark.parametrize(
    "factory, setting, asked", [("gliner_qa", "questions", ["answer"]), ("gliner_openie", "prompts", ["match"])]
)
def test_what_the_task_reads_is_what_is_encoded(tiny_bi_checkpoint, encoded, factory, setting, asked):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config={setting: ["Who is it?"], "model": {"source": {"name": str(tiny_bi_checkpoint)}}})
    nlp.get_pipe(factory).label_vectors.encode()
    nlp(TEXT)
    assert encoded == asked


def test_a_gold_label_that_is_too_long_is_named_in_training(nlp):
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 10, "a b " * 100)]})
    with pytest.raises(ValueError, match="reads 128 at most"):
        nlp.update([example], sgd=AdamW(0.01, 0.01))


def test_only_networks_with_labels_apart_can_freeze_them(make_nlp, tiny_checkpoint):
    nlp = make_nlp(model={"freeze": "labels", "source": {"name": str(tiny_checkpoint)}})
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 10, "person")]})
    with pytest.raises(ValueError, match="only bi-encoders"):
        nlp.update([example], sgd=AdamW(0.01, 0.01))


def test_the_head_reads_only_what_is_new(nlp, monkeypatch):
    network = shim_of(nlp.get_pipe("gliner_ner").model).network
    nlp(TEXT)
    read, sizes = network.read_labels, []
    monkeypatch.setattr(network, "read_labels", lambda vectors: sizes.append(len(vectors)) or read(vectors))
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = [*LABELS, "one more"]
    nlp(doc)
    assert sizes == [1]


def test_vectors_that_are_there_are_replaced():
    table = LabelTable()
    table.add(["a", "b"], torch.tensor([[1.0], [2.0]]))
    table.add(["b", "c"], torch.tensor([[3.0], [4.0]]))
    assert {name: float(table.vectors[row, 0]) for name, row in table.prompts.items()} == {"a": 1.0, "b": 3.0, "c": 4.0}
    with pytest.raises(ValueError, match="2 wide"):
        table.add(["d"], torch.zeros(1, 2))
