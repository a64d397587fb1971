"""Tiny random networks of the reference library, and the assertions that ours give the same."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from gliner import GLiNER
from torch import Tensor

from spacy_gliner.decoding import candidates, drop_overlaps, valid_spans
from spacy_gliner.ml.checkpoints import Checkpoint
from spacy_gliner.pipeline.words import WORD
from spacy_gliner.types import Query, ScoredSpan, SpanLogits

from ..tiny import numbers, save_tokenizer, tiny_tokenizer

LOGIT_TOLERANCE = 1e-4
SCORE_TOLERANCE = 1e-4

Labels = str | list[str] | list[list[str]] | dict[str, str]


@dataclass(frozen=True)
class Asked:
    """A question about one text: its row among the texts, the characters of its words, and the query."""

    row: int
    places: list[tuple[int, int]]
    query: Query


def build_reference(folder: Path, backbone: dict, *, seed: int = 0, **settings) -> GLiNER:
    """A random network of the reference library whose scores spread from near 0 to near 1."""
    save_tokenizer(tiny_tokenizer(), folder)
    config = {"model_name": str(folder), "encoder_config": backbone, "hidden_size": 24, "max_width": 5, **settings}
    if "labels_encoder" in settings:
        config["labels_encoder"] = str(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GLiNER.from_config(config, backbone_from_pretrained=False)
    layers = model.model
    is_token = settings["span_mode"] == "token_level"
    last = (layers.scorer.out_mlp if is_token else layers.prompt_rep_layer)[3]
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            if not name.startswith("token_rep_layer.bert_layer."):
                parameter *= 2.0 if parameter.ndim > 1 else 1.0
        scores = reference_logits(model, ["Bill Gates founded Microsoft in Seattle .", "Paris"], ["person", "city"])
        if is_token:
            last.bias -= scores.mean(dim=(0, 1, 2))
        last.weight *= 1.5 / scores.std()
        last.bias *= 1.5 / scores.std()
    return model


def reference_logits(model: GLiNER, texts: list[str], labels: Labels) -> Tensor:
    """Padded logits of the reference, for the texts that are not blank."""
    prepared = model.prepare_batch(texts, labels)
    batch = model.collate_batch(prepared["input_x"], prepared["entity_types"], label_names=prepared["label_names"])
    return model.run_batch(batch)[0]


def ask(texts: list[str], labels: Labels, words: list[list[str]] | None = None, max_words: int = 384) -> list[Asked]:
    """The questions that the reference asks, without those about blank texts.

    words: Given words of each text; cut by the reference's word splitter when None.
    """
    asked = []
    for row, text in enumerate(texts):
        places = list(_places(text, None if words is None else words[row]))[:max_words]
        if places:
            names, prompts = _names_and_prompts(labels[row] if _is_per_text(labels) else labels)
            asked.append(Asked(row, places, Query(tuple(text[a:b] for a, b in places), names, prompts)))
    return asked


def _places(text: str, words: list[str] | None) -> Iterator[tuple[int, int]]:
    if words is None:
        yield from (match.span() for match in WORD.finditer(text))
        return
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        yield start, end


def _names_and_prompts(labels: str | list[str] | dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if isinstance(labels, dict):
        return tuple(labels), tuple(labels.values())
    return tuple(dict.fromkeys([labels] if isinstance(labels, str) else labels)), ()


def _is_per_text(labels: Labels) -> bool:
    return isinstance(labels, list) and bool(labels) and isinstance(labels[0], list)


def assert_logits_equal(checkpoint: Checkpoint, asked: list[Asked], theirs: Tensor | np.ndarray) -> None:
    """That our logits equal the reference's, wherever those mean something.

    theirs: Padded, one block per question.
    """
    queries = [each.query for each in asked]
    with torch.inference_mode():
        logits = checkpoint.network(numbers(queries, checkpoint.tokenizer))
    for query, ours, padded in zip(queries, logits.per_query(), torch.as_tensor(theirs), strict=True):
        if isinstance(logits, SpanLogits):
            valid = valid_spans(len(query.words), logits.width)
            ours, padded = ours[valid], padded[: len(query.words), :, : len(query.labels)][valid]
        else:
            padded = padded[: len(query.words), : len(query.labels)]
        torch.testing.assert_close(ours, padded, atol=LOGIT_TOLERANCE, rtol=0)


def assert_entities_equal(
    checkpoint: Checkpoint,
    asked: list[Asked],
    theirs: list[list[dict]],
    *,
    threshold: float,
    flat_ner: bool,
    multi_label: bool,
) -> None:
    """That we find the same entities, in the same order, with the same scores.

    theirs: What the reference returned for every text, blank ones included.
    """
    found: list[list[tuple]] = [[] for _ in theirs]
    queries = [each.query for each in asked]
    with torch.inference_mode():
        logits = checkpoint.network(numbers(queries, checkpoint.tokenizer))
    for each, spans in zip(asked, candidates(logits, queries, threshold=threshold), strict=True):
        kept = drop_overlaps(spans, nested=not flat_ner, multi_label=multi_label)
        found[each.row] = [_entity(span, each.places) for span in kept]
    expected = [[(e["start"], e["end"], e["label"], e["score"]) for e in entities] for entities in theirs]
    assert [[entity[:3] for entity in entities] for entities in found] == [
        [entity[:3] for entity in entities] for entities in expected
    ]
    ours, scores = (np.array([e[3] for entities in side for e in entities]) for side in (found, expected))
    np.testing.assert_allclose(ours, scores, atol=SCORE_TOLERANCE, rtol=0)


def assert_relations_equal(
    checkpoint: Checkpoint,
    asked: list[Asked],
    relations: list[str],
    theirs: list[list[dict]],
    *,
    threshold: float,
    flat_ner: bool,
    multi_label: bool,
    relation_threshold: float | None = None,
) -> None:
    """That we find the same relations between the entities that are found, with the same scores.

    The reference finds some twice, and some of an entity with itself: those are no relations.

    asked: For entities, with the relations read beside.
    theirs: What the reference returned for every text, blank ones included.
    """
    found: list[dict[tuple, float]] = [{} for _ in theirs]
    queries = [each.query for each in asked]
    with torch.inference_mode():
        of_entities = candidates(
            checkpoint.network(numbers(queries, checkpoint.tokenizer)), queries, threshold=threshold
        )
        pairs = [
            replace(
                query,
                labels=tuple(relations),
                prompts=(),
                beside=query.label_prompts,
                spans=tuple(sorted({(span.start, span.end) for span in spans})),
            )
            for query, spans in zip(queries, of_entities, strict=True)
        ]
        logits = checkpoint.network(numbers(pairs, checkpoint.tokenizer))
    limit = threshold if relation_threshold is None else relation_threshold
    for each, entities, spans in zip(asked, of_entities, candidates(logits, pairs, threshold=limit), strict=True):
        kept = {span[:2] for span in drop_overlaps(entities, nested=not flat_ner, multi_label=multi_label)}
        for span in spans:
            if span.head in kept and span[:2] in kept:
                ends = [(each.places[start][0], each.places[end - 1][1]) for start, end in (span.head, span[:2])]
                found[each.row][ends[0], span.label, ends[1]] = span.score
    expected: list[dict[tuple, float]] = [{} for _ in theirs]
    for of_text, relations_of_text in zip(expected, theirs, strict=True):
        for relation in relations_of_text:
            head, tail = ((relation[side]["start"], relation[side]["end"]) for side in ("head", "tail"))
            if head != tail:
                of_text[head, relation["relation"], tail] = relation["score"]
    assert [set(of_text) for of_text in found] == [set(of_text) for of_text in expected]
    for ours, of_text in zip(found, expected, strict=True):
        np.testing.assert_allclose([ours[key] for key in of_text], list(of_text.values()), atol=SCORE_TOLERANCE, rtol=0)


def _entity(span: ScoredSpan, places: list[tuple[int, int]]) -> tuple[int, int, str, float]:
    return places[span.start][0], places[span.end - 1][1], span.label, span.score
