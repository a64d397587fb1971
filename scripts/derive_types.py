"""Entity types from relations and questions: what answers "Which band …?" is a band.

    python scripts/derive_types.py data/train training/data

Few permissive entity sets have types such as those of encyclopedias; but relations between entities have them between
the lines, and so have questions. Reads the files `rel_*` and `qa_*` of the first folder and writes for each a file
`ner_types_*` to the second, with "missing": tokens of which nothing is known. Where a file has all entities of a text
(its spans have types), only those of unknown type are missing; otherwise everything but the typed ones.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from spacy_gliner.pipeline.words import WORD
from spacy_gliner.training.corpora import Row, data_files, name_of, read_rows

# What stands at the two ends of a relation, as a label each; several where it may be called differently.
ENDS: dict[str, tuple[str, str]] = {
    "after a work by": ("creative work", "writer"),
    "architect": ("building", "architect"),
    "author": ("creative work", "writer|author"),
    "award received": ("", "award"),
    "basin country": ("body of water", "country"),
    "capital": ("country|region", "capital city|city"),
    "capital of": ("capital city|city", "country|region"),
    "cast member": ("film", "actor"),
    "chairperson": ("organization", "politician|person"),
    "characters": ("creative work", "fictional character|character"),
    "chief executive officer": ("company", "chief executive officer|person"),
    "child": ("person", "person"),
    "child of": ("person", "person"),
    "composer": ("musical work", "composer"),
    "conflict": ("", "war|event|battle"),
    "continent": ("country|location", "continent"),
    "country": ("", "country"),
    "country of citizenship": ("person", "country"),
    "country of origin": ("", "country"),
    "creator": ("creative work", "creator|artist"),
    "date founded": ("company", "date"),
    "date of birth": ("person", "date|date of birth"),
    "date of death": ("person", "date|date of death"),
    "developer": ("software", "company|developer"),
    "director": ("film|movie", "film director|director"),
    "dissolved, abolished or demolished": ("", "date"),
    "distributor": ("creative work", "company|film distributor"),
    "educated at": ("person", "university"),
    "employee or member of": ("person", "organization"),
    "employer": ("person", "organization|employer"),
    "end time": ("", "date|year"),
    "ethnic group": ("", "ethnic group"),
    "father": ("person", "person"),
    "field of work": ("", "field|academic discipline|field of study"),
    "founded by": ("organization", "founder|person"),
    "genre": ("creative work", "genre"),
    "head of government": ("location|country", "politician|head of government"),
    "head of state": ("country", "politician|head of state"),
    "headquarters": ("organization", "city|location"),
    "headquarters location": ("organization", "city|location"),
    "heritage designation": ("building|historic site", "heritage designation"),
    "inception": ("organization", "date|year"),
    "instrument": ("musician|musical artist", "musical instrument|instrument"),
    "language of work or name": ("", "language"),
    "languages spoken, written or signed": ("", "language"),
    "league": ("sports team", "sports league|league"),
    "legislative body": ("country|location", "parliament|government body"),
    "licensed to broadcast to": ("radio station|broadcaster", "city|location"),
    "located in the administrative territorial entity": ("", "location"),
    "located on terrain feature": ("", "geographical feature|location"),
    "location": ("", "location"),
    "location of formation": ("band", "city|location"),
    "lyrics by": ("song", "lyricist|songwriter"),
    "manufacturer": ("product", "manufacturer|company"),
    "member of political party": ("politician", "political party"),
    "member of sports team": ("athlete|sports player", "sports team"),
    "military branch": ("", "military branch"),
    "mother": ("person", "person"),
    "mountain range": ("mountain", "mountain range"),
    "mouth of the watercourse": ("river", "river|body of water"),
    "movement": ("artist|person", "art movement|movement"),
    "nationality": ("person", "country"),
    "nominated for": ("", "award"),
    "notable work": ("person", "creative work"),
    "occupant": ("stadium", "sports team"),
    "occupation": ("person", "occupation|profession"),
    "official language": ("country|location", "language"),
    "operating system": ("", "operating system"),
    "original language of work": ("creative work", "language"),
    "original network": ("tv series|television show", "television network|tv channel"),
    "parent organization": ("organization", "organization"),
    "parent taxon": ("species|taxon", "taxon"),
    "participating team": ("sports event|match", "sports team"),
    "performer": ("musical work", "musical artist"),
    "place of birth": ("person", "location|place of birth"),
    "place of death": ("person", "location"),
    "place of residence": ("person", "location"),
    "platform": ("video game", "platform"),
    "political affiliation": ("politician|person", "political party"),
    "position held": ("politician|person", "political office|position"),
    "producer": ("creative work", "producer"),
    "production company": ("creative work", "production company"),
    "publication date": ("creative work", "date|release date"),
    "publisher": ("creative work", "publisher"),
    "record label": ("", "record label"),
    "religion": ("", "religion"),
    "residence": ("person", "location"),
    "screenwriter": ("film|movie", "screenwriter|writer"),
    "sibling": ("person", "person"),
    "sports season of league or competition": ("sports season", "sports league"),
    "spouse": ("person", "person"),
    "start time": ("", "date|year"),
    "subsidiary": ("company", "company"),
    "subsidiary of": ("company", "company"),
    "successful candidate": ("election", "politician"),
    "taxon rank": ("species|taxon", "taxonomic rank"),
    "tributary": ("river", "river"),
    "winner": ("", "winner"),
    "work location": ("person", "city|location"),
}

VERBS = "is|are|was|were|did|does|do|has|have|had|can|could|will|would|won|played|made|of|that|in|to"  # end the label
QUESTION = re.compile(
    rf"^(?:(?:in|on|at|of|to|for|by|from|with) )?(what|which) ((?:[\w'-]+ ){{1,2}}?)(?:{VERBS})\b", re.IGNORECASE
)
ASKED = {"who": "person", "when": "date", "where": "location", "how many": "number", "what year": "year"}
# Labels of a kind that may fit the same entity. What is general fits all of its kind, so it is never known to be absent
# there; all kinds of persons, times and places fit each other.
KINDS: dict[str, tuple[str, str]] = {  # general ones, then special ones
    "work": (
        "creative work|musical work|product",
        "book|film|movie|tv show|tv series|television show|song|album|video game|software",
    ),
    "organization": (
        "organization|company|employer|publisher|manufacturer|developer|production company|film distributor|winner|"
        "government body|broadcaster|founder",
        "band|record label|sports team|university|school|political party|television network|tv channel|radio station|"
        "sports league|league|parliament|military branch|musical artist",
    ),
    "place": (
        "location|region|country|nationality|city|capital city|place of birth|geographical feature|building|"
        "historic site|continent|body of water|river|mountain|mountain range|stadium|ethnic group",
        "",
    ),
    "person": (
        "person|writer|author|architect|actor|politician|composer|musical artist|musician|founder|creator|artist|"
        "director|film director|producer|screenwriter|lyricist|songwriter|fictional character|character|athlete|"
        "sports player|winner|head of government|head of state|chief executive officer|occupation|profession",
        "band",
    ),
    "time": ("date|year|date of birth|date of death|release date", ""),
    "idea": ("field|academic discipline|field of study|genre|movement|art movement|religion|language|nationality", ""),
    "event": ("event|battle|war|election|competition|match|sports event|award|sports season", ""),
    "taxon": ("species|taxon|taxonomic rank", ""),
    "thing": (
        "product|vehicle|device|software|platform|game console|operating system|musical instrument|instrument",
        "",
    ),
}
COMMON = {"person", "location", "date", "year", "number", "organization", "place", "country", "city", "event", "group"}
VAGUE = set(
    """
    type kind sort other else the name word term was is two things three did do does will were happened came part are
    can would entity use point years
    """.split()
)


def main(source: Path, folder: Path) -> None:
    """Write a file of entities for each file of relations or questions."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in data_files(source):
        name = name_of(path)
        derive = {"rel": from_relations, "qa": from_questions, "squad": from_questions}.get(name.split("_")[0])
        if derive is None:
            continue
        rows = with_labels([new for row in read_rows(path, dict) for new in derive(row, name)])
        if not rows:
            continue
        target = folder / f"ner_types_{name}.jsonl"
        target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
        print(f"{target}: {len(rows)} rows, {sum(len(row['spans']) for row in rows)} spans")


def from_relations(row: Row, source: str) -> Iterator[Row]:
    """A row of relations as one of entities; none where no relation gives a type."""
    spans: set[tuple[int, int, str]] = set()
    for fact in row.get("relations", [row] if "relation" in row else []):
        for side, labels in zip(("head", "tail"), ENDS.get(fact["relation"], ("", "")), strict=True):
            places = fact.get(f"{side}_mentions") or [[fact[side]["start"], fact[side]["end"]]]
            spans.update((start, end, label) for start, end in places for label in labels.split("|") if label)
    typed = {(start, end) for start, end, _ in spans}
    mentions = {(start, end) for start, end, _ in row.get("spans", [])}
    if any(label != "entity" for *_, label in row.get("spans", [])):
        yield from sentences(row["tokens"], spans, mentions - typed, source)
    elif spans:
        yield new_row(row["tokens"], spans, gaps(typed, len(row["tokens"])), source)


def from_questions(article: Row, source: str) -> Iterator[Row]:
    """The paragraphs of an article with those answers whose question names their type."""
    for paragraph in article["paragraphs"]:
        words = list(WORD.finditer(paragraph["context"]))
        starts = {word.start(): row for row, word in enumerate(words)}
        ends = {word.end(): row for row, word in enumerate(words)}
        spans = set()
        for qa in paragraph["qas"]:
            label = answer_type(qa["question"])
            for answer in qa["answers"][:1] if label else ():
                first = starts.get(answer["answer_start"])
                last = ends.get(answer["answer_start"] + len(answer["text"]))
                if first is not None and last is not None and 0 <= last - first < 8:
                    spans.add((first, last, label))
        typed = {(start, end) for start, end, _ in spans}
        if spans and len(words) < 250:
            yield new_row([word[0] for word in words], spans, gaps(typed, len(words)), source)


def answer_type(question: str) -> str:
    """What a question says that its answer is; "" where it does not."""
    text = question.strip().lower()
    for words, label in ASKED.items():
        if text.startswith(words + " "):
            return label
    found = QUESTION.match(text)
    label = found.group(2).strip() if found else ""
    return "" if set(label.split()) & VAGUE else label


def sentences(tokens: list[str], spans: Any, unknown: Any, source: str) -> Iterator[Row]:
    """A document's sentences, each as a row; those without a span are left out."""
    start = 0
    for end in [*(row + 1 for row, token in enumerate(tokens) if token in ".!?"), len(tokens)]:
        inside = [(a - start, b - start, label) for a, b, label in spans if start <= a and b < end]
        if inside and end - start > 4:
            missing = sorted([a - start, b - start] for a, b in unknown if start <= a and b < end)
            yield new_row(tokens[start:end], inside, missing, source)
        start = end


def new_row(tokens: list[str], spans: Any, missing: list[list[int]], source: str) -> Row:
    """A row of entities."""
    return {"tokens": tokens, "spans": sorted(map(list, spans)), "missing": missing, "source": source}


def with_labels(rows: list[Row]) -> list[Row]:
    """The rows with the labels to ask for: their own, and of all others those that are surely absent."""
    everything = {label for row in rows for _, _, label in row["spans"]}
    for row in rows:
        own = {label for _, _, label in row["spans"]}
        words = {word for label in own for word in label.split()}
        possible = {label for mine in own for label in fitting(mine)}
        absent = [label for label in sorted(everything - own - possible) if words.isdisjoint(label.split())]
        row["labels"] = sorted(own) + absent
    return rows


def fitting(label: str) -> set[str]:
    """Labels that may fit what this one fits."""
    found = set(COMMON)
    for general, special in KINDS.values():
        if label in general.split("|"):
            found |= {*general.split("|"), *special.split("|")}
        elif label in special.split("|"):
            found |= set(general.split("|"))
    return found


def gaps(known: set[tuple[int, int]], n_tokens: int) -> list[list[int]]:
    """What lies between known places."""
    taken = {token for start, end in known for token in range(start, end + 1)}
    return [[token, token] for token in range(n_tokens) if token not in taken]


if __name__ == "__main__":
    typer.run(main)
