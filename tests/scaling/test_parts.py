"""Cutting files into parts, and what can't be cut."""

import json

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_gliner.scaling.parts import find_files, make_plan
from spacy_gliner.scaling.reading import read_part

NLP = spacy.blank("en")


def texts_of(plan):
    """The texts of each part, as its rows make them."""
    rows = [read_part(part, plan.kind, "text") for part in plan.parts]
    return [[make(NLP).text for make in makers] for makers, _ in rows]


def write_lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf8")
    return path


def write_docs(path, texts):
    DocBin(docs=[NLP(text) for text in texts], store_user_data=True).to_disk(path)
    return path


def write_table(path, texts, row_group_size=None):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())})
    parquet.write_table(table, path, row_group_size=row_group_size)
    return path


WRITERS = {"jsonl": write_lines, "spacy": write_docs, "parquet": write_table}
TEXTS = [f"Text {number}." for number in range(7)]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_every_row_is_in_exactly_one_part_in_order(tmp_path, kind, size):
    WRITERS[kind](tmp_path / f"a.{kind}", TEXTS)
    WRITERS[kind](tmp_path / f"b.{kind}", ["Last."])
    plan = make_plan(tmp_path, rows_per_part=size)
    parts = texts_of(plan)
    assert [text for part in parts for text in part] == [*TEXTS, "Last."]
    assert all(len(part) <= size for part in parts)
    assert plan.rows == 8
    assert [part.number for part in plan.parts] == list(range(len(parts)))


@pytest.mark.parametrize("kind", WRITERS)
def test_files_without_rows_are_one_empty_part(tmp_path, kind):
    plan = make_plan(WRITERS[kind](tmp_path / f"a.{kind}", []), rows_per_part=3)
    assert texts_of(plan) == [[]]


def test_parts_may_lie_across_row_groups(tmp_path):
    path = write_table(tmp_path / "a.parquet", TEXTS, row_group_size=2)
    assert texts_of(make_plan(path, rows_per_part=3)) == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]


def test_blank_lines_are_no_rows_and_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"text": "a"}\n\n  \r\n{"text": "ä"}\r\n{"text": "c"}', encoding="utf8")
    assert texts_of(make_plan(path, rows_per_part=2)) == [["a", "ä"], ["c"]]


def test_a_source_is_a_file_a_folder_a_pattern_or_several(tmp_path):
    paths = [write_lines(tmp_path / name, TEXTS) for name in ("b.jsonl", "a.jsonl", "_of_ours.jsonl", ".hidden.jsonl")]
    (tmp_path / "notes.txt").write_text("no rows")
    b, a = paths[:2]
    assert find_files(b) == [b]
    assert find_files(str(tmp_path)) == [a, b]
    assert find_files(f"{tmp_path}/[ab].json*") == [a, b]
    assert find_files([b, tmp_path]) == [b, a]


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to read"):
        make_plan(tmp_path, rows_per_part=3)
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match="ends in .jsonl, .parquet, .spacy"):
        make_plan(tmp_path / "a.txt", rows_per_part=3)
    (tmp_path / "b.jsonl").write_text("text")
    with pytest.raises(ValueError, match="first line: not JSON"):
        make_plan(tmp_path / "b.jsonl", rows_per_part=3)
    write_docs(tmp_path / "c.spacy", TEXTS)
    with pytest.raises(ValueError, match="several kinds"):
        make_plan(tmp_path, rows_per_part=3)
    (tmp_path / "c.spacy").write_text("text")
    with pytest.raises(ValueError, match="not a file of Docs"):
        make_plan(tmp_path / "c.spacy", rows_per_part=3)
    with pytest.raises(ValueError, match="at least 1 row"):
        make_plan(tmp_path / "b.jsonl", rows_per_part=0)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_missing_text_column_is_an_error_that_names_the_columns(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"a.{kind}", TEXTS)
    with pytest.raises(ValueError, match="no column 'body'; it has text"):
        make_plan(path, rows_per_part=3, text="body")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_column_that_is_named_like_a_result_is_an_error(tmp_path, kind):
    path = WRITERS[kind](tmp_path / f"a.{kind}", TEXTS)
    with pytest.raises(ValueError, match="a column 'text' already"):
        make_plan(path, rows_per_part=3, results=["text"])


def test_a_file_that_lost_rows_since_it_was_cut_is_an_error(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", TEXTS)
    plan = make_plan(path, rows_per_part=3)
    write_lines(path, TEXTS[:4])
    with pytest.raises(ValueError, match="row 6 is missing"):
        texts_of(plan)
