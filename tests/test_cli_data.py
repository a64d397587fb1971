"""The command that converts annotation: what it says, writes and refuses."""

import json

import pytest
import spacy
import typer
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_gliner.cli.data import convert_cli

APP = typer.Typer()
APP.command("convert")(convert_cli)
TEXT = "Ada lived in New York."


def run(*arguments):
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


@pytest.fixture
def texts(tmp_path):
    """A file with one good span and 25 that cross token borders, one of which is at the borders of the same token."""
    path = tmp_path / "texts.jsonl"
    rows = [{"text": TEXT, "entities": [[0, 3, "person"], [14, 20, "city"]]}]
    rows += [{"text": TEXT, "entities": [[5, 9, f"label {number}"]]} for number in range(24)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


def test_the_summary_says_what_became_of_everything(texts, tmp_path):
    columns = tmp_path / "columns.conll"
    columns.write_text("Ada B-person\n. O\n", encoding="utf8")
    output = tmp_path / "new" / "train.jsonl"
    result = run(texts, columns, output)
    assert result.exit_code == 0, result.output
    assert [line.split(maxsplit=2 if "out" not in line[:8] else 3)[:-1] for line in result.stdout.splitlines()] == [
        ["read", "26"],
        ["written", "26"],
        ["spans", "2"],
        ["relations", "0"],
        ["repaired", "0"],
        ["left", "out", "25"],
    ]
    assert "2 files (jsonl, conll)" in result.stdout
    assert len(rows_of(output)) == 26


def test_the_first_twenty_that_were_left_out_are_listed_and_all_if_asked_for(texts, tmp_path):
    first = run(texts, tmp_path / "a.jsonl").stderr.splitlines()
    assert len(first) == 21
    assert first[0].startswith(f"Left out: {texts}, line 1: span 'ew Yor' (city): it does not begin and end")
    assert first[-1].startswith("… and 5 more.")
    everything = run(texts, tmp_path / "a.jsonl", "--verbose").stderr.splitlines()
    assert len(everything) == 25
    assert everything[:20] == first[:20]


def test_a_report_holds_all_that_was_left_out(texts, tmp_path):
    report = tmp_path / "new" / "report.jsonl"
    assert run(texts, tmp_path / "a.jsonl", "--report", report).exit_code == 0
    rows = rows_of(report)
    assert len(rows) == 25
    assert (rows[0]["where"], rows[0]["text"], rows[0]["label"]) == ("line 1", "ew Yor", "city")


def test_repair_widens_spans_and_says_how_many(texts, tmp_path):
    output = tmp_path / "a.spacy"
    result = run(texts, output, "--repair")
    assert "repaired     25  spans" in result.stdout
    assert result.stderr == ""
    doc, *_ = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "person"), ("New York", "city")]


def test_texts_are_cut_by_the_tokenizer_that_is_named(tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "state-of-the-art", "entities": []}), encoding="utf8")
    tokenizer = {"@tokenizers": "spacy_gliner.WordSplitter.v1"}
    spacy.blank("en", config={"nlp": {"tokenizer": tokenizer}}).to_disk(tmp_path / "words")
    tokens = {}
    for name, options in {"en": (), "words": ("--model", tmp_path / "words"), "zh": ("--lang", "zh")}.items():
        result = run(texts, tmp_path / f"{name}.out.jsonl", *options)
        assert result.exit_code == 0, result.output
        (row,) = rows_of(tmp_path / f"{name}.out.jsonl")
        tokens[name] = row["tokens"]
    assert tokens["words"] == ["state-of-the-art"]
    assert tokens["en"][:2] == ["state", "-"]
    assert tokens["zh"] == list("state-of-the-art")


def test_the_format_can_be_named(texts, tmp_path):
    result = run(texts, tmp_path / "a.jsonl", "--from", "gliner")
    assert result.exit_code == 1
    assert "line 1: expected 'tokenized_text'" in result.stderr
    assert "gliner" in run(texts, tmp_path / "a.jsonl", "--from", "word").stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{folder}/nothing.jsonl", "{folder}/a.jsonl"], "There is no file"),
        (["{folder}", "{folder}/a.jsonl"], "is a folder"),
        (["{texts}", "{folder}/a.txt"], "ends in .jsonl or .spacy"),
        (["{texts}", "{texts}"], "one of the files to read"),
        (["{texts}", "{folder}/a.jsonl", "--report", "{texts}"], "one of the files to read or write"),
        (["{texts}", "{folder}/a.jsonl", "--report", "{folder}/a.jsonl"], "one of the files to read or write"),
        (["{texts}", "{folder}/a.jsonl", "--lang", "xx1"], "xx1"),
        (["{texts}", "{folder}/a.jsonl", "--model", "{folder}/nothing"], "nothing"),
        (["{folder}/prose.txt", "{folder}/a.jsonl"], "can't tell its format"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(texts, tmp_path, arguments, message):
    (tmp_path / "prose.txt").write_text("Only words.", encoding="utf8")
    before = texts.read_bytes()
    result = run(*(argument.format(folder=tmp_path, texts=texts) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert texts.read_bytes() == before
    assert not (tmp_path / "a.jsonl").exists()
