"""The scripts behind the recipe of the embedded model and the ablations."""

import gzip
import importlib.util
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_gliner.ml.checkpoints import write_checkpoint
from spacy_gliner.training.corpora import JsonCorpus, read_rows

from .tiny import tiny_bert, tiny_network_checkpoint

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "assets" / "tasks" / "dev"


def script(name):
    """A file of scripts/ as a module, which may import the others as it does when it is run."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return loaded(name)
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")


def spans_of(row):
    return {(" ".join(row["tokens"][start : end + 1]), label) for start, end, label in row["spans"]}


def annotation(path, rows):
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


TEXTS = [
    {"id": "a", "tokens": "The Ada engine drives a second engine near Oslo .".split(), "spans": []},
    {"id": "b", "text": "Nobody reads this. Lena met Lenard in Pre-Oslo."},
    {"title": "c", "paragraphs": [{"context": "", "qas": []}, {"context": "Tea is cheap.", "qas": []}]},
]
ANNOTATED = [
    {
        "file": "ner_x",
        "id": "a",
        "entities": [["Ada engine", "steam engine", "machine"], ["engine", "machine"], ["Oslo", "city"]],
        "absent": ["river", "city"],
    },
    {
        "file": "sum_x",
        "id": "b",
        "passage": [19, 47],
        "entities": [["Lena", "chemist"], ["Oslo", "city"]],
        "absent": [],
    },
    {"file": "qa_x", "id": "c#1", "entities": [["Tea", "drink", "food"]], "absent": ["price"]},
    {"file": "qa_x", "id": "gone#0", "entities": [], "absent": []},
]


@pytest.fixture
def open_types(tmp_path):
    """The rows that are made of the texts above, by their source."""
    for name, row in zip(("ner_x", "sum_x", "qa_x"), TEXTS, strict=True):
        write_rows(tmp_path / "data" / f"{name}.jsonl", [row])
    annotation(tmp_path / "open.jsonl.gz", ANNOTATED)
    script("open_types").main(tmp_path / "open.jsonl.gz", tmp_path / "data", tmp_path / "made")
    rows = list(read_rows(tmp_path / "made" / "ner_open_types.jsonl"))
    return {source: [row for row in rows if row["source"] == source] for source in ("ner_x", "sum_x", "qa_x")}


def test_open_types_mark_entities_everywhere_and_longer_ones_first(open_types):
    special = open_types["ner_x"][0]
    assert special["spans"] == [[1, 2, "steam engine"], [6, 6, "machine"], [8, 8, "city"]]


def test_open_types_give_a_second_row_with_broader_types(open_types):
    for row in open_types["ner_x"][1:]:
        assert spans_of(row) == {("Ada engine", "machine"), ("engine", "machine"), ("Oslo", "city")}
    assert {label for row in open_types["qa_x"] for _, label in spans_of(row)} <= {"drink", "food"}
    assert len(open_types["sum_x"]) == 1  # nothing broader


def test_open_types_of_a_passage_learn_nothing_of_what_ends_within_a_word(open_types):
    (row,) = open_types["sum_x"]
    assert row["tokens"] == ["Lena", "met", "Lenard", "in", "Pre-Oslo", "."]
    assert row["spans"] == [[0, 0, "chemist"]]
    assert row["missing"] == [[4, 4]]


def test_open_types_ask_for_what_is_absent_and_not_for_what_may_fit(open_types):
    special = open_types["ner_x"][0]
    assert {"river", "chemist", "drink"} <= set(special["labels"])
    assert special["labels"].count("city") == 1
    (tea, *_) = open_types["qa_x"]
    assert "price" in tea["labels"]
    assert len({"drink", "food"} & set(tea["labels"])) == 1  # each may be called the other


def test_open_types_say_which_texts_are_not_there(tmp_path, capsys):
    write_rows(tmp_path / "data" / "qa_x.jsonl", TEXTS[2:])
    annotation(tmp_path / "open.jsonl.gz", ANNOTATED)
    script("open_types").main(tmp_path / "open.jsonl.gz", tmp_path / "data", tmp_path / "made")
    printed = capsys.readouterr().out
    for name in ("ner_x", "sum_x", "qa_x"):
        assert f"1 texts of {name} are not in" in printed


@pytest.fixture
def passages(tmp_path):
    """The rows of passages made of annotated texts."""

    def make(*annotated):
        annotation(tmp_path / "open.jsonl.gz", annotated)
        script("open_passages").main(tmp_path / "data", tmp_path / "made", [tmp_path / "open.jsonl.gz"])
        return list(read_rows(tmp_path / "made" / "ner_written_passages.jsonl"))

    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "ner_x.jsonl", TEXTS[:1])
    return make


def written(text, *entities, absent=()):
    return {"file": "written", "id": text, "text": text, "entities": list(map(list, entities)), "absent": list(absent)}


def test_passages_join_texts_under_all_their_types(passages):
    rows = passages(
        written("Oslo is old.", ("Oslo", "city"), absent=["river"]), written("Tea grows here.", ("Tea", "drink"))
    )
    for row in rows:
        assert row["tokens"] == ["Oslo", "is", "old", ".", "Tea", "grows", "here", "."]
        assert row["spans"] == [[0, 0, "city"], [4, 4, "drink"]]
        assert row["labels"][:3] == ["city", "drink", "river"]
    assert len(rows) == 2  # each text is in two passages


def test_passages_call_entities_alike_where_both_names_fit(passages):
    for row in passages(
        written("Bo sang.", ("Bo", "singer", "artist")), written("Al paints.", ("Al", "painter", "artist"))
    ):
        used = {label for _, label in spans_of(row)}
        assert used in ({"artist"}, {"singer", "painter"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Bo", "singer"), ("Al", "artist")),  # a singer is an artist: said of Cy
        (("Bo", "university"), ("Al", "public university")),
        (("Bo", "date of birth"), ("Al", "birth year")),
    ],
)
def test_texts_stay_apart_where_a_type_of_one_may_fit_the_other(passages, first, second):
    third = written("Cy sang.", ("Cy", "singer", "artist"))
    for row in passages(written("Bo is here.", first), written("Al is here.", second), third):
        names = {name for name, _ in spans_of(row)}
        assert not {"Bo", "Al"} <= names


def test_passages_learn_nothing_of_names_that_another_text_gives_one_of_their_types(passages):
    first, second = written("Oslo is old.", ("Oslo", "city")), written("Tea in oslo.", ("Tea", "drink"))
    for row in passages(first, second):
        assert row["missing"] == [[6, 6]]


def test_passages_say_which_texts_are_not_there(passages, capsys):
    passages(written("Oslo is old.", ("Oslo", "city")), *ANNOTATED)
    assert "1 texts of sum_x are not in" in capsys.readouterr().out


def test_passages_of_public_texts_have_a_file_of_their_own(passages, tmp_path):
    passages(written("Oslo is old.", ("Oslo", "city")), *ANNOTATED[:1])
    rows = list(read_rows(tmp_path / "made" / "ner_open_passages.jsonl"))
    assert [row["tokens"] for row in rows] == [TEXTS[0]["tokens"]] * 2


@pytest.mark.parametrize("seed", range(5))
def test_passages_hold_every_text_twice_whatever_fits(passages, seed):
    rng = random.Random(seed)
    kinds = ["city", "large city", "place", "person", "artist"]
    texts = [
        written(f"N{n} met M{n} {'again ' * rng.randint(0, 100)}.", *((f"{m}{n}", *rng.sample(kinds, 2)) for m in "NM"))
        for n in range(40)
    ]
    rows = passages(*texts)
    found = Counter(name for row in rows for name, _ in spans_of(row))
    assert found == {f"{m}{n}": 2 for m in "NM" for n in range(40)}
    assert sum(len(row["tokens"]) for row in rows) == 2 * sum(len(text["text"].split()) for text in texts)
    assert len(rows) < 2 * len(texts)
    assert all(len(row["tokens"]) <= 220 for row in rows)


def test_derived_types_come_from_both_ends_of_relations_and_from_questions(tmp_path):
    fact = {"head": {"start": 0, "end": 0}, "tail": {"start": 4, "end": 5}, "relation": "publisher"}
    write_rows(tmp_path / "rel_x.jsonl", [{"tokens": "Emma was printed by John Murray .".split(), "relations": [fact]}])
    asked = {"question": "Which band played?", "answers": [{"text": "Abba", "answer_start": 4}]}
    vague = {"question": "Which name played?", "answers": [{"text": "Now", "answer_start": 0}]}
    write_rows(tmp_path / "qa_x.jsonl", [{"paragraphs": [{"context": "Now Abba played.", "qas": [asked, vague]}]}])
    script("derive_types").main(tmp_path, tmp_path / "made")
    (row,) = read_rows(tmp_path / "made" / "ner_types_rel_x.jsonl")
    assert spans_of(row) == {("Emma", "creative work"), ("John Murray", "publisher")}
    assert row["missing"] == [[1, 1], [2, 2], [3, 3], [6, 6]]
    (row,) = read_rows(tmp_path / "made" / "ner_types_qa_x.jsonl")
    assert spans_of(row) == {("Abba", "band")}


def checkpoint(folder, seed=5):
    write_checkpoint(tiny_network_checkpoint(tiny_bert(max_position_embeddings=512), seed=seed), folder)
    return folder


def test_averaged_weights_lie_between_by_the_share(tmp_path):
    before, after = checkpoint(tmp_path / "a", seed=1), checkpoint(tmp_path / "b", seed=2)
    script("average_checkpoints").main(before, after, 0.25, tmp_path / "mean")
    old, new, mean = (load_file(tmp_path / name / "model.safetensors") for name in ("a", "b", "mean"))
    for name, weight in mean.items():
        torch.testing.assert_close(weight, 0.75 * old[name] + 0.25 * new[name])


def test_networks_of_other_shapes_are_not_averaged(tmp_path):
    before, after = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b")
    weights = load_file(before / "model.safetensors")
    weights["more"] = torch.zeros(1)
    save_file(weights, before / "model.safetensors")
    with pytest.raises(ValueError, match="different shapes"):
        script("average_checkpoints").main(before, after, 0.5, tmp_path / "mean")


@pytest.mark.slow
def test_ablations_run_what_is_missing_and_print_a_row_for_each_variant(tmp_path, capsys, monkeypatch):
    ablations = script("ablations")
    config = tmp_path / "tiny.cfg"
    text = (ROOT / "configs" / "ablation.cfg").read_text(encoding="utf8")
    config.write_text(text.replace("size = 500", "size = 60"), encoding="utf8")
    variants = tmp_path / "variants.json"
    smoothed = {"components.gliner_ner.loss.smoothing": 0.1}
    variants.write_text(json.dumps({"as it is": {}, "smoothed": smoothed}), encoding="utf8")
    arguments = (config, variants, tmp_path / "runs", ROOT / "assets" / "tasks" / "train", SAMPLE)
    settings = {"start": str(checkpoint(tmp_path / "start")), "steps": 1, "limit": 4}
    ablations.main(*arguments, seeds="1,2", **settings)
    table = (tmp_path / "runs" / "table.md").read_text(encoding="utf8").splitlines()
    assert [row.split(" | ")[:2] for row in table[2:]] == [["| as it is", "2"], ["| smoothed", "2"]]
    assert len(list((tmp_path / "runs").glob("*, seed *.json"))) == 4
    runs = []
    monkeypatch.setattr(ablations, "run", lambda *given: runs.append(given) or dict.fromkeys(ablations.MEASURES, 0.5))
    ablations.main(*arguments, seeds="2,3", **settings)
    assert [given[2]["system.seed"] for given in runs] == [3, 3]  # seed 2 is there


def test_ablations_need_files_of_entities_to_measure_on(tmp_path):
    write_rows(tmp_path / "qa_x.jsonl", TEXTS[2:])
    with pytest.raises(FileNotFoundError, match="No files of entities"):
        script("ablations").main(ROOT, ROOT, tmp_path / "runs", ROOT, tmp_path)


def kept(embed, folder, limit):
    """What scores above the limit, in all sentences."""
    nlp = embed.open_pipeline(str(folder), "en")
    nlp.get_pipe("gliner_ner").cfg["threshold"] = embed.LOWEST
    rows = enumerate(embed.find(nlp, JsonCorpus(SAMPLE / "ner_general.jsonl")))
    return {(n, span) for n, (_, found) in rows for span, score in found.items() if score > limit}


@pytest.mark.slow
def test_the_embedded_model_is_calibrated_to_half(tmp_path, capsys):
    """The threshold that is best on development data becomes 0.5: what is above it before is above 0.5 afterwards."""
    embed, start = script("embed_model"), checkpoint(tmp_path / "start")
    embed.main(start, SAMPLE, tmp_path / "embedded")
    before = float(capsys.readouterr().out.split()[-1])
    assert before != 0.5
    old, new = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / "embedded"))
    assert [name for name in old if not torch.allclose(old[name], new[name].float(), atol=1e-3)] == [
        "scorer.out_mlp.3.bias"
    ]
    found = [kept(embed, folder, limit) for folder, limit in ((start, before), (tmp_path / "embedded", 0.5))]
    assert len(found[0] ^ found[1]) <= 0.02 * len(found[0])  # half precision
