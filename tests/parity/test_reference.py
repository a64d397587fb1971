"""Equal logits and equal entities with the reference library, on tiny random networks of every kind that we load."""

import numpy as np
import pytest
import spacy
import torch

from spacy_gliner.losses import focal_loss
from spacy_gliner.ml.checkpoints import read_checkpoint, write_checkpoint
from spacy_gliner.targets import make_targets
from spacy_gliner.types import Lesson, Query, ScoredSpan

from ..tiny import numbers, tiny_bert, tiny_deberta, tiny_modernbert
from .reference import ask, assert_entities_equal, assert_logits_equal, build_reference, reference_logits

LABELS_APART = {"labels_encoder": "labels", "labels_encoder_config": tiny_bert(hidden_size=16)}
RNN = {"model_type": "rnn", "hidden_size": 16, "num_hidden_layers": 2, "bidirectional": False}
MODERNBERT = {"model_type": "modernbert", "num_hidden_layers": 2, "num_attention_heads": 4}
MODES = ["query", "mlp", "cat", "conv_conv", "conv_max", "conv_mean", "conv_sum", "conv_share"]
NETWORKS = {
    "deberta markerV0": (tiny_deberta, {"span_mode": "markerV0"}),
    "deberta marker": (tiny_deberta, {"span_mode": "marker"}),
    "deberta token": (tiny_deberta, {"span_mode": "token_level"}),
    "deberta without projection": (tiny_deberta, {"span_mode": "markerV0", "hidden_size": 32}),
    "bert without lstm": (tiny_bert, {"span_mode": "markerV0", "num_rnn_layers": 0}),
    "bert with two lstm layers": (tiny_bert, {"span_mode": "marker", "num_rnn_layers": 2}),
    "bert token": (tiny_bert, {"span_mode": "token_level"}),
    "bert token without lstm": (tiny_bert, {"span_mode": "token_level", "num_rnn_layers": 0}),
    "modernbert markerV0": (tiny_modernbert, {"span_mode": "markerV0"}),
    "modernbert token with two lstm layers": (tiny_modernbert, {"span_mode": "token_level", "num_rnn_layers": 2}),
    "bert with other markers": (tiny_bert, {"span_mode": "markerV0", "ent_token": "[LABEL]", "sep_token": "[TEXT]"}),
    **{f"bert {mode}": (tiny_bert, {"span_mode": mode}) for mode in MODES},
    "last pieces": (tiny_deberta, {"span_mode": "markerV0", "subtoken_pooling": "last"}),
    "mean of pieces": (tiny_bert, {"span_mode": "token_level", "subtoken_pooling": "mean"}),
    "max of pieces": (tiny_deberta, {"span_mode": "markerV0", "subtoken_pooling": "max", "num_rnn_layers": 0}),
    "labels by their first piece": (tiny_bert, {"span_mode": "token_level", "embed_ent_token": False}),
    "bi-encoder of mean pieces": (tiny_bert, {"span_mode": "query", "subtoken_pooling": "mean", **LABELS_APART}),
    "bi-encoder markerV0": (tiny_deberta, {"span_mode": "markerV0", **LABELS_APART}),
    "bi-encoder token": (tiny_bert, {"span_mode": "token_level", **LABELS_APART}),
    "bi-encoder marker": (tiny_modernbert, {"span_mode": "marker", "num_rnn_layers": 0, **LABELS_APART}),
    "poly-encoder markerV0": (
        tiny_deberta,
        {"span_mode": "markerV0", "post_fusion_schema": "l2l-l2t-t2t", "num_post_fusion_layers": 2, **LABELS_APART},
    ),
    "poly-encoder token": (
        tiny_bert,
        {"span_mode": "token_level", "post_fusion_schema": "t2l-t2t", "num_post_fusion_layers": 1, **LABELS_APART},
    ),
    "bert with a fuser that is never used": (
        tiny_bert,
        {"span_mode": "markerV0", "post_fusion_schema": "l2l-l2t", "num_post_fusion_layers": 1},
    ),
}
TEXTS = [
    "Bill Gates founded Microsoft in April 1975 together with Paul Allen.",
    "Paris",
    "",
    "state-of-the-art models -- e.g. GPT-4, BERT_base -- run on 8xA100s!",
    "   The réunion was in São Paulo; 北京大学 (in Berlin) isn't   there?\n",
    "Marie Curie worked with Pierre Curie at the University of Paris, and later, in 1911, she met Ada in New York.",
]
LABELS = {
    "three": ["person", "company", "city"],
    "one": ["person"],
    "one as a string": "company",
    "repeated": ["city", "person", "city"],
    "of several words": ["a person who founded a company", "city"],
    "many": [f"label {number}" for number in range(12)],
    "per text": [["person"], ["city", "date"], ["x"], ["product", "model", "place"], ["city"], ["person", "place"]],
    "described": {"PER": "a person or a name", "ORG": "company, university or bank"},
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def pair(request, tmp_path_factory):
    """A network of the reference, and what we read from the folder that it saved."""
    backbone, settings = NETWORKS[request.param]
    model = build_reference(tmp_path_factory.mktemp("tokenizer"), backbone(), **settings)
    folder = tmp_path_factory.mktemp("reference")
    model.save_pretrained(folder, safe_serialization="bert" in request.param)
    return model, read_checkpoint(folder)


@pytest.mark.parametrize("labels", LABELS.values(), ids=list(LABELS))
def test_logits_equal_the_reference(pair, labels):
    model, checkpoint = pair
    assert_logits_equal(checkpoint, ask(TEXTS, labels), reference_logits(model, TEXTS, labels))


@pytest.mark.parametrize(
    "backbone, settings",
    [
        (tiny_bert, {"span_mode": "markerV1"}),
        (tiny_bert, {"span_mode": "markerV2"}),
        (tiny_deberta, {"span_mode": "markerV0", "fuse_layers": True}),
        (tiny_bert, {"span_mode": "token_level", "fuse_layers": True, "hidden_size": 32}),
        (tiny_deberta, {"span_mode": "markerV0", "fuse_layers": True, **LABELS_APART}),
        (tiny_bert, {"span_mode": "markerV0", "span_encoder_config": {"model_type": "rnn"}}),
        (tiny_bert, {"span_mode": "query", "span_encoder_config": RNN}),
        (tiny_bert, {"span_mode": "marker", "span_encoder_config": {"model_type": "deberta-v2", "hidden_size": 16}}),
        (tiny_deberta, {"span_mode": "markerV2", "span_encoder_config": {"model_type": "deberta-v2"}}),
        (tiny_bert, {"span_mode": "markerV0", "span_encoder_config": MODERNBERT, **LABELS_APART}),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_where_padding_counts_in_the_reference_single_texts_give_the_same(backbone, settings, tmp_path):
    model = build_reference(tmp_path / "tokenizer", backbone(), **settings)
    model.save_pretrained(tmp_path / "saved")
    checkpoint = read_checkpoint(tmp_path / "saved")
    labels = ["person", "city"] if "labels_encoder" not in settings else ["city"]  # its label encoder pads as well
    for text in filter(str.strip, TEXTS):
        assert_logits_equal(checkpoint, ask([text], labels), reference_logits(model, [text], labels))


@pytest.mark.parametrize("labels", ["three", "per text", "described"])
@pytest.mark.parametrize("flat_ner, multi_label", [(True, False), (False, False), (True, True), (False, True)])
def test_entities_equal_the_reference(pair, labels, flat_ner, multi_label):
    model, checkpoint = pair
    labels = LABELS[labels]
    possible = model.inference(TEXTS, labels, threshold=0.01, flat_ner=False, multi_label=True)
    threshold = np.quantile([entity["score"] for entities in possible for entity in entities], 0.3)
    mode = {"threshold": round(float(threshold), 3), "flat_ner": flat_ner, "multi_label": multi_label}
    theirs = model.inference(TEXTS, labels, **mode)
    assert sum(map(len, theirs)) > 1
    assert_entities_equal(checkpoint, ask(TEXTS, labels), theirs, **mode)


EXAMPLES = [
    {
        "tokenized_text": "Bill Gates founded Microsoft in April 1975 with Paul Allen .".split(),
        "ner": [[0, 1, "person"], [3, 3, "company"], [8, 9, "person"], [0, 9, "date"]],
        "ner_labels": ["person", "company", "city", "date"],
    },
    {
        "tokenized_text": "Marie Curie worked in Paris".split(),
        "ner": [[4, 4, "city"], [0, 1, "person"]],
        "ner_labels": ["city", "person", "other"],
    },
]


@pytest.mark.parametrize(
    "alpha, gamma, smoothing", [(-1, 0, 0), (0.75, 2.0, 0), (-1, 0, 0.1)], ids=["plain", "focal", "smoothed"]
)
def test_losses_and_gradients_equal_the_reference(pair, alpha, gamma, smoothing):
    model, checkpoint = pair
    apart = checkpoint.tokenizer.labels_apart
    if smoothing and apart and checkpoint.network.config.head != "token":
        pytest.skip("The reference passes the smoothing as another argument.")
    settings = {"alpha": alpha, "gamma": gamma, "reduction": "sum"}
    collator = model.data_collator_class(model.config, data_processor=model.data_processor, prepare_labels=True)
    model.eval().zero_grad()
    theirs = model.model(
        **collator([{**row, "ner_label": row["ner_labels"]} for row in EXAMPLES]), **settings, label_smoothing=smoothing
    ).loss
    theirs.backward()
    labels = [tuple(row["ner_labels"]) for row in EXAMPLES]
    if apart:  # every text is asked for the labels of the whole batch
        labels = [tuple(dict.fromkeys(label for of_row in labels for label in of_row))] * len(EXAMPLES)
    queries = [Query(tuple(row["tokenized_text"]), of_row) for row, of_row in zip(EXAMPLES, labels, strict=True)]
    gold = [[ScoredSpan(start, end + 1, label, 1.0) for start, end, label in row["ner"]] for row in EXAMPLES]
    network = checkpoint.network
    network.zero_grad()
    logits = network(numbers(queries, checkpoint.tokenizer))
    if logits.scores.abs().max() > 13.8:
        pytest.skip("The reference clips the loss of scores this far out, and its gradient to zero.")
    ours = focal_loss(
        logits.scores, make_targets(logits, list(map(Lesson, queries, gold))), **settings, smoothing=smoothing
    )
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    encoders = [(model.model.token_rep_layer.bert_layer.model, network.encoder.transformer.backbone)]
    if apart:
        encoders.append((model.model.token_rep_layer.labels_encoder.model, network.encoder.labels.transformer.backbone))
    for their_encoder, our_encoder in encoders:
        their_grad, our_grad = (each.get_input_embeddings().weight.grad for each in (their_encoder, our_encoder))
        torch.testing.assert_close(our_grad, their_grad, atol=1e-3 * float(their_grad.abs().max()), rtol=0)


RESCORING = {
    "uni-encoder": {"span_mode": "token_level", "represent_spans": True},
    "bi-encoder": {"span_mode": "token_level", "represent_spans": True, **LABELS_APART},
    "in context": {"span_mode": "token_level", "represent_spans": True, "span_encoder_config": RNN},
}


@pytest.mark.parametrize("threshold", [0.1, 0.25])
@pytest.mark.parametrize("kind", list(RESCORING))
def test_what_is_scored_once_more_equals_the_reference(kind, threshold, tmp_path_factory):
    model = build_reference(tmp_path_factory.mktemp("tokenizer"), tiny_bert(), seed=3, **RESCORING[kind])
    folder = tmp_path_factory.mktemp("reference")
    model.save_pretrained(folder)
    checkpoint = read_checkpoint(folder)
    labels = ["person", "company", "city"]
    n_found = 0
    for text in filter(str.strip, TEXTS):  # alone: in a batch, the reference finds spans of padding
        theirs = model.inference([text], labels, threshold=threshold)
        asked = ask([text], labels)
        assert_entities_equal(checkpoint, asked, theirs, threshold=threshold, flat_ner=True, multi_label=False)
        n_found += len(theirs[0])
    assert n_found


@pytest.mark.parametrize("span_mode", ["markerV0", "token_level"])
def test_stored_vectors_of_labels_give_what_they_give_in_the_reference(span_mode, tmp_path):
    """Where they are made: the reference library doesn't read what it saves of them."""
    model = build_reference(tmp_path / "tokenizer", tiny_bert(), span_mode=span_mode)
    labels = ["city", "a person", "company"]
    model.compress_prompt_embeddings(TEXTS[:2], labels)
    model.save_pretrained(tmp_path / "saved")
    checkpoint = read_checkpoint(tmp_path / "saved")
    write_checkpoint(checkpoint, tmp_path / "again")
    for ours in (checkpoint, read_checkpoint(tmp_path / "again")):
        assert_logits_equal(ours, ask(TEXTS, labels), reference_logits(model, TEXTS, labels))
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": labels[::2], "model": {"source": {"name": str(tmp_path / "again")}}})
    assert nlp(TEXTS[0]).has_annotation("ENT_IOB")
    with pytest.raises(ValueError, match="stored vectors of 3 labels"):
        nlp.get_pipe("gliner_ner").add_label("river")
        nlp(TEXTS[0])
