"""Relations for the eye and for other libraries: displaCy arcs and a networkx graph.

Reads `doc._.gliner_relations`; knows no component.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spacy import displacy
from spacy.tokens import Doc, Span

if TYPE_CHECKING:
    import networkx


def relation_arcs(doc: Doc) -> dict[str, Any]:
    """The relations as displaCy's `style="dep"` takes them with `manual=True`: `{"words": […], "arcs": […]}`.

    Heads and tails are words of one piece each with their entity label below; where some overlap, what they cover
    together is one. Arcs point from head to tail.
    """
    relations = doc._.gliner_relations
    blocks = _blocks([span for relation in relations for span in (relation.head, relation.tail)])
    starts = {block.start: block for block in blocks}
    words: list[dict[str, str]] = []
    row_of: dict[int, int] = {}
    token = 0
    while token < len(doc):
        block = starts.get(token, doc[token : token + 1])
        for covered in range(block.start, block.end):
            row_of[covered] = len(words)
        words.append({"text": " ".join(block.text.split()), "tag": block.label_})
        token = block.end
    arcs = []
    for relation in relations:
        head, tail = row_of[relation.head.start], row_of[relation.tail.start]
        if head != tail:
            direction = "right" if head < tail else "left"
            arcs.append({"start": min(head, tail), "end": max(head, tail), "label": relation.label, "dir": direction})
    return {"words": words, "arcs": arcs}


def render_relations(docs: Doc | Iterable[Doc], **options: Any) -> str:
    """SVG (or, with `page=True`, HTML) of the relations of one Doc or several, as arcs over the text.

    options: Those of `displacy.render`, such as `page`, `jupyter` and `options={"compact": True}`.
    """
    several = [docs] if isinstance(docs, Doc) else docs
    return displacy.render([relation_arcs(doc) for doc in several], style="dep", manual=True, **options)


def relation_graph(docs: Doc | Iterable[Doc]) -> "networkx.MultiDiGraph":
    """The relations of one Doc or several as a graph: entities, by their text, are nodes; relations are edges.

    Edges have the relation as key and `label`, and the best `score`.
    Raises ImportError where networkx is not installed (`pip install spacy-gliner[graph]`).
    """
    try:
        import networkx
    except ImportError as error:
        raise ImportError("relation_graph needs networkx: pip install 'spacy-gliner[graph]'.") from error
    graph = networkx.MultiDiGraph()
    for doc in [docs] if isinstance(docs, Doc) else docs:
        for relation in doc._.gliner_relations:
            head, label, tail = relation.to_tuple()
            for node, span in ((head, relation.head), (tail, relation.tail)):
                graph.add_node(node, **({"label": span.label_} if span.label_ else {}))
            known = graph.get_edge_data(head, tail, label, default={}).get("score")
            scores = [score for score in (known, relation.score) if score is not None]
            graph.add_edge(head, tail, key=label, label=label, score=max(scores, default=None))
    return graph


def _blocks(spans: Iterable[Span]) -> list[Span]:
    """The spans, those that overlap as one."""
    blocks: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if blocks and span.start < blocks[-1].end:
            last = blocks.pop()
            span = Span(span.doc, last.start, max(last.end, span.end), label=last.label)
        blocks.append(span)
    return blocks
