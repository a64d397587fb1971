"""Equal entities and relations with joint networks of the reference library, tiny and random.

Which relations it returns is compared by saved results (`test_fixtures`); here, the scores that they come from.
"""

from dataclasses import replace

import pytest
import torch
from gliner import GLiNER

from spacy_gliner.decoding import candidates
from spacy_gliner.ml.checkpoints import read_checkpoint, write_checkpoint
from spacy_gliner.nn.triples import FORMULAS

from ..tiny import numbers, tiny_bert, tiny_deberta
from .reference import LOGIT_TOLERANCE, ask, assert_entities_equal, build_reference

LINKS = ["none", "dot", "mlp", "bilinear", "attention", "gcn", "gat"]
NETWORKS = {
    **{f"markerV0, {links}": {"span_mode": "markerV0", "relations_layer": links} for links in LINKS},
    **{f"token, {links}": {"span_mode": "token_level", "relations_layer": links} for links in LINKS[:4]},
    **{
        f"markerV0, {triples}": {"span_mode": "markerV0", "relations_layer": "none", "triples_layer": triples}
        for triples in FORMULAS
        if triples != "HolE"  # fails in the reference where there is no pair; see nn/test_triples.py
    },
    **{  # of one width in the reference, whatever is asked for
        f"token, {triples}": {
            "span_mode": "token_level",
            "relations_layer": "none",
            "triples_layer": triples,
            "hidden_size": 768,
        }
        for triples in ("TripleRE", "ERMLP")
    },
    "marker": {"span_mode": "marker", "relations_layer": "none"},
    "query": {"span_mode": "query", "relations_layer": "dot"},
    "labels by their first pieces": {
        "span_mode": "markerV0",
        "relations_layer": "none",
        "embed_ent_token": False,
        "embed_rel_token": False,
    },
    "two lstm layers, other markers": {
        "span_mode": "token_level",
        "relations_layer": "MLP",
        "num_rnn_layers": 2,
        "rel_token": "[REL]",
        "sep_token": "[TEXT]",
    },
}
TEXTS = [
    "Bill Gates founded Microsoft in April 1975 together with Paul Allen.",
    "Paris",
    "Ada met Bill",
    "   The réunion was in São Paulo; 北京大学 (in Berlin) isn't   there?\n",
]
LABELS = ["person", "company", "city"]
RELATIONS = ["founded by", "works for", "born in"]


@pytest.fixture(scope="module", params=list(NETWORKS))
def pair(request, tmp_path_factory):
    """A network of the reference, and what we read from the folder that it saved."""
    backbone = tiny_deberta() if "markerV0" in request.param else tiny_bert()
    settings = {"num_rnn_layers": 1, **NETWORKS[request.param]}
    model = build_reference(tmp_path_factory.mktemp("tokenizer"), backbone, **settings)
    folder = tmp_path_factory.mktemp("reference")
    model.save_pretrained(folder)
    return model, read_checkpoint(folder)


@pytest.mark.parametrize("relations", [RELATIONS, []], ids=["relations", "none"])
def test_entities_equal_the_reference(pair, relations):
    model, checkpoint = pair
    entities, _ = model.inference(TEXTS, LABELS, relations, threshold=0.5)
    asked = [replace(each, query=replace(each.query, beside=tuple(relations))) for each in ask(TEXTS, LABELS)]
    assert_entities_equal(checkpoint, asked, entities, threshold=0.5, flat_ner=True, multi_label=False)


@pytest.mark.parametrize("threshold", [0.05, 0.5])
@pytest.mark.parametrize("relations", [RELATIONS, RELATIONS[:1]], ids=["three", "one"])
def test_scores_of_relations_equal_the_reference(pair, relations, threshold):
    model, checkpoint = pair
    prepared = model.prepare_batch(TEXTS, LABELS, relations=relations)
    batch = model.collate_batch(prepared["input_x"], prepared["entity_types"], relation_types=relations)
    asked = [replace(each.query, beside=tuple(relations)) for each in ask(TEXTS, LABELS)]
    with torch.inference_mode():
        of_entities = checkpoint.network(numbers(asked, checkpoint.tokenizer))
        for limit in (0.6, 0.45, 0.3, 0.2, 0.1):
            found = candidates(of_entities, asked, threshold=limit)
            places = [tuple(sorted({span[:2] for span in spans})) for spans in found]
            if max(map(len, places)) > 4:
                break
        queries = [
            replace(query, labels=tuple(relations), prompts=(), beside=tuple(LABELS), spans=spans)
            for query, spans in zip(asked, places, strict=True)
        ]
        logits = checkpoint.network(numbers(queries, checkpoint.tokenizer))
    theirs = model.run_batch(batch, threshold=limit, adjacency_threshold=threshold)
    n_pairs = 0
    for row, (spans, ours) in enumerate(zip(places, logits.per_query(), strict=True)):
        known = theirs.rel_mask[row]
        their_places = [(start, end + 1) for start, end in theirs.entity_spans[row].tolist()]
        their_pairs = [tuple(their_places[end] for end in ends) for ends in theirs.rel_idx[row][known].tolist()]
        n_words = len(asked[row].words)
        right = [  # bugs of the reference: a span with itself, spans of padding
            number
            for number, (head, tail) in enumerate(their_pairs)
            if head != tail and max(head[1], tail[1]) <= n_words
        ]
        linked = {tuple(map(spans.index, their_pairs[number])): number for number in right}
        for (head, tail), number in linked.items():
            difference = (ours[head, tail, :-1] - theirs.rel_logits[row][known][number]).abs().max()
            assert difference < LOGIT_TOLERANCE
        n_pairs += len(linked)
        if logits.linked:
            assert set(linked) == {
                (h, t) for h, t in (ours[:, :, -1].sigmoid() > threshold).nonzero().tolist() if h != t
            }
    assert n_pairs or threshold > 0.05


def test_the_reference_library_reads_what_we_write(pair, tmp_path):
    model, checkpoint = pair
    write_checkpoint(checkpoint, tmp_path / "written")
    again = GLiNER.from_pretrained(str(tmp_path / "written"))
    texts = TEXTS[2:3]
    expected = model.inference(texts, LABELS, RELATIONS, threshold=0.3)
    entities, relations = again.inference(texts, LABELS, RELATIONS, threshold=0.3)
    assert [[e["text"], e["label"]] for e in entities[0]] == [[e["text"], e["label"]] for e in expected[0][0]]
    assert [r["score"] for r in relations[0]] == pytest.approx([r["score"] for r in expected[1][0]], abs=1e-4)
