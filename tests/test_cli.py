"""The command line: what it reads, what it prints, and how it says no."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
import torch
from spacy.cli import app as spacy_app
from spacy.tokens import Doc, Span
from spacy.training import Example
from typer.testing import CliRunner

from spacy_gliner.cli import app
from spacy_gliner.cli.common import split_labels
from spacy_gliner.display import columns, marked_text, print_table
from spacy_gliner.evaluation import benchmark, using_threshold
from spacy_gliner.ml.shim import GlinerShim
from spacy_gliner.pipeline.extensions import register_extensions
from spacy_gliner.scoring.entities import make_entity_scorer

TEXT = "Ada Lovelace met Charles Babbage in London."
ROWS = [
    {"tokens": ["Ada", "Lovelace", "lived", "in", "London"], "spans": [[0, 1, "person"], [4, 4, "city"]]},
    {"tokens": ["London", "or", "Paris"], "spans": [[2, 2, "city"], [1, 1, "else"]]},
]


def run(*arguments, input=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)


def extract(*arguments, model, input=None):
    """Everything the network thinks possible, as JSON."""
    options = ("--labels", "person,city", "--model", model, "--threshold", 0, "--format", "jsonl")
    result = run("extract", *arguments, *options, input=input)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "places.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf8")
    return path


@pytest.fixture
def doc():
    register_extensions()
    doc = spacy.blank("en")(TEXT)
    doc.ents = [Span(doc, 0, 2, label="person"), Span(doc, 3, 5, label="person"), Span(doc, 6, 7, label="city")]
    return doc


def test_labels_are_split_trimmed_and_kept_once():
    assert split_labels(["person, company ", "city,,person"]) == ["person", "company", "city"]


def test_jsonl_gives_character_positions_of_the_text(tiny_checkpoint):
    (row,) = extract(TEXT, model=tiny_checkpoint)
    assert row["text"] == TEXT
    assert row["entities"]
    for entity in row["entities"]:
        assert TEXT[entity["start"] : entity["end"]] == entity["text"]
        assert entity["label"] in ("person", "city")
        assert 0 <= entity["score"] <= 1


def test_texts_files_and_standard_input_are_read(tiny_checkpoint, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfZ\xc3\xbcrich\r\nParis")
    rows = extract(TEXT, path, "-", "", model=tiny_checkpoint, input="Rome ")
    assert [row["text"] for row in rows] == [TEXT, "Zürich\r\nParis", "Rome ", ""]
    assert extract(model=tiny_checkpoint, input=TEXT) == extract(TEXT, model=tiny_checkpoint)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{folder}", "--labels", "person"], "is a folder"),
        (["{folder}/nothing.txt", "--labels", "person"], "There is no file"),
        (["{folder}/latin.txt", "--labels", "person"], "is not UTF-8"),
        ([TEXT], "No labels"),
        ([TEXT, "--labels", " , "], "No labels"),
        ([TEXT, "--labels", "person", "--model", "{folder}/nothing"], "nothing"),
        ([TEXT, "--labels", "person", "--lang", "xx1"], "xx1"),
    ],
)
def test_errors_are_one_line_without_traceback(arguments, message, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"Z\xfcrich")
    result = run("extract", *(argument.format(folder=tmp_path) for argument in arguments))
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_a_saved_pipeline_looks_for_its_own_labels_unless_told_otherwise(tiny_checkpoint, tmp_path):
    nlp = spacy.blank("en")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", config={"labels": ["river"], "threshold": 0.0, "model": {"source": source}})
    nlp.to_disk(tmp_path)
    result = run("extract", TEXT, "--model", tmp_path, "--format", "jsonl")
    assert {entity["label"] for entity in json.loads(result.stdout)["entities"]} == {"river"}
    (row,) = extract(TEXT, model=tmp_path)
    assert {entity["label"] for entity in row["entities"]} <= {"person", "city"}


def test_a_saved_pipeline_without_our_component_is_an_error(tmp_path):
    spacy.blank("en").to_disk(tmp_path)
    result = run("extract", TEXT, "--labels", "person", "--model", tmp_path)
    expected = "Error: The pipeline has no component of spacy-gliner with a network of its own.\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_html_is_a_page_with_the_entities(tiny_checkpoint):
    options = ("--labels", "person", "--model", tiny_checkpoint, "--threshold", 0, "--format", "html")
    result = run("extract", TEXT, "", *options)
    assert result.stdout.startswith("<!DOCTYPE html>")
    assert ">person</span>" in result.stdout
    assert result.stderr == ""


def test_table_marks_entities_in_the_text_and_lists_them(doc, capsys):
    print_table([doc, Doc(doc.vocab)])
    assert capsys.readouterr().out.splitlines() == [
        "[Ada Lovelace | person] met [Charles Babbage | person] in [London | city].",
        "",
        "Entity           Label   Score  Position",
        "Ada Lovelace     person             0-12",
        "Charles Babbage  person            17-32",
        "London           city              36-42",
        "",
        "No entities found.",
    ]


def test_wrapping_keeps_marks_whole(doc):
    styled = marked_text(doc, 30, {"person": "cyan", "city": "green"})
    assert re.sub(r"\x1b\[\d+m", "", styled).splitlines() == [
        "[Ada Lovelace | person] met",
        "[Charles Babbage | person] in",
        "[London | city].",
    ]


def test_columns_are_aligned():
    assert columns([("set", "F1"), ("a", "45.67")], align="<>") == ["set     F1", "a    45.67"]


def test_spacy_has_the_command():
    result = CliRunner().invoke(spacy_app, ["gliner", "--help"])
    assert result.exit_code == 0
    assert "extract" in result.stdout
    assert "benchmark" in result.stdout


@pytest.mark.slow
def test_the_module_runs_without_a_sub_command(tiny_checkpoint):
    command = [sys.executable, "-m", "spacy_gliner", TEXT, "--labels", "person", "--model", str(tiny_checkpoint)]
    result = subprocess.run([*command, "--threshold", "0"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "| person]" in result.stdout
    assert "\x1b" not in result.stdout


def test_benchmark_counts_exact_matches_of_the_labels_asked(dataset):
    register_extensions()
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": "city", "pattern": "London"}, {"label": "person", "pattern": "Ada Lovelace"}]
    )
    score = benchmark(nlp, [dataset])["places"]
    assert (score.n_rows, score.n_gold, score.n_predicted) == (2, 3, 3)
    assert (score.precision, score.recall, score.f1) == (2 / 3, 2 / 3, 2 / 3)
    assert benchmark(nlp, [dataset], exclude_labels=["else", "city"])["places"].n_gold == 1


def test_benchmark_prints_a_line_a_set_and_writes_json(tiny_checkpoint, dataset, tmp_path):
    output = tmp_path / "scores" / "benchmark.json"
    result = run("benchmark", tiny_checkpoint, dataset.parent, "--threshold", 0.9, "--json", output)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["set", "places", "average"]
    report = json.loads(output.read_text(encoding="utf8"))
    assert report["sets"]["places"]["n_rows"] == 2
    assert set(report["average"]) == {"precision", "recall", "f1"}


@pytest.mark.parametrize("command", ["benchmark", "evaluate", "fit-thresholds"])
def test_what_measures_does_so_on_the_gpu_that_is_named(command, tiny_checkpoint, dataset, tmp_path, monkeypatch):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": ["city"], "model": {"source": {"name": str(tiny_checkpoint)}}})
    nlp.to_disk(tmp_path / "nlp")
    asked = command, tmp_path / "nlp", dataset
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    moved = []
    monkeypatch.setattr(GlinerShim, "to_device", lambda self, *device: moved.append(device))
    for options in ((), ("--gpu-id", -1), ("--gpu-id", 1)):
        result = run(*asked, *options)
        assert result.exit_code == 0, result.output
    assert moved == [("gpu", 1)]
    absent = run(*asked, "--gpu-id", 2)
    assert absent.exit_code == 1 and "There is no GPU 2: torch finds 2." in absent.stderr


def test_the_threshold_is_put_back(tiny_checkpoint):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("gliner_ner", config={"threshold": 0.4, "model": {"source": {"name": str(tiny_checkpoint)}}})
    with pytest.raises(KeyError), using_threshold(nlp, 0.9):
        assert pipe.cfg["threshold"] == 0.9
        raise KeyError
    assert pipe.cfg["threshold"] == 0.4


def test_scorer_gives_none_without_annotation(doc):
    score = make_entity_scorer()
    unknown, known = Doc(doc.vocab, words=[token.text for token in doc]), doc.copy()
    assert score([Example(doc, unknown)])["ents_f"] is None
    assert score([Example(doc, known)])["ents_f"] == 1.0


def test_sample_rows_hold_what_their_description_says():
    path = Path(__file__).parent.parent / "assets" / "ner_sample.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    labels = {label for row in rows for _, _, label in row["spans"]}
    assert (len(rows), labels) == (24, {"person", "company", "product", "location", "date"})
    assert all(0 <= start <= end < len(row["tokens"]) for row in rows for start, end, _ in row["spans"])
