"""What a worker writes: one row for each row, whole files or none, an error where something is wrong with a text."""

import json
import os

import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_gliner.scaling import annotate_texts, load_once
from spacy_gliner.scaling.attempts import Attempts
from spacy_gliner.scaling.job import Job
from spacy_gliner.scaling.parts import make_plan
from spacy_gliner.scaling.working import Worker, load

TEXTS = ["Ada Lovelace met Charles Babbage.", "", "Bill Gates founded Microsoft.", "Paris"]


class Killed(BaseException):
    """In place of a signal: nothing catches it, so that a test survives."""


@Language.component("test_scaling_trouble")
def trouble(doc: Doc) -> Doc:
    if "fail" in doc.text:
        raise ValueError("This text is\nbad.")
    if "kill" in doc.text:
        raise Killed
    return doc


@pytest.fixture
def nlp(make_nlp):
    nlp = make_nlp(threshold=0.1)
    nlp.add_pipe("test_scaling_trouble")
    return nlp


@pytest.fixture
def run(nlp, tmp_path):
    """A function that annotates a file as one worker does, and gives the job and its parts."""

    def run(source, *, rows_per_part=100, output_format="jsonl", prefix="", batch_size=3):
        plan = make_plan(source, rows_per_part=rows_per_part)
        job = Job(tmp_path / "out", plan.kind, output_format, "text", prefix, batch_size)
        job.begin(plan.files, lambda: nlp, rows_per_part)
        worker = Worker(job, lambda: nlp)
        for part in plan.parts:
            assert worker(part._asdict()) == {"number": part.number, "failure": ""}
        return job, plan.parts

    return run


def rows_of(job, parts):
    return [json.loads(line) for part in parts for line in job.path_of(part).read_text("utf8").splitlines()]


def as_alone(nlp, text):
    """The entities of a text by itself."""
    return [(ent.start_char, ent.end_char, ent.label_) for ent in nlp(text).ents]


def test_rows_keep_their_columns_and_get_what_the_pipeline_finds(run, nlp, write):
    source = write("a", *({"id": number, "text": text} for number, text in enumerate(TEXTS)))
    rows = rows_of(*run(source, rows_per_part=3))
    assert [(row["id"], row["text"]) for row in rows] == list(enumerate(TEXTS))
    found = [[(one["start"], one["end"], one["label"]) for one in row["entities"]] for row in rows]
    assert found == [as_alone(nlp, text) for text in TEXTS]
    assert any(found)
    assert all(row["error"] is None for row in rows)


def test_a_row_that_fails_is_there_with_its_error_and_its_neighbours_are_as_ever(run, nlp, tmp_path):
    lines = [
        {"id": 0, "text": TEXTS[0]},
        {"id": 1, "text": "I fail."},
        {"id": 2, "text": None},
        {"id": 3},
        {"id": 4, "text": TEXTS[2], "entities": "mine"},
        {"id": 5, "text": "half \ud800"},
    ]
    source = tmp_path / "a.jsonl"
    bad = b'["no object"]\nno JSON\n\xff\n'
    source.write_bytes(
        "\n".join(map(json.dumps, lines)).encode() + b"\n" + bad + json.dumps({"text": "Paris"}).encode()
    )
    job, parts = run(source)
    rows = rows_of(job, parts)
    assert len(rows) == 10
    assert [row.get("id") for row in rows[:6]] == list(range(6))
    assert [row["error"] for row in (rows[0], rows[9])] == [None, None]
    assert [one["text"] for one in rows[0]["entities"]] == [ent.text for ent in nlp(TEXTS[0]).ents]
    assert rows[1]["error"] == "ValueError: This text is bad."
    assert rows[1]["entities"] is None
    assert "holds NoneType, not a text" in rows[2]["error"]
    assert "no column 'text'; it has id" in rows[3]["error"]
    assert "has a column 'entities' already" in rows[4]["error"]
    assert rows[4]["entities"] == "mine"
    assert "UnicodeEncodeError" in rows[5]["error"]
    assert "got list" in rows[6]["error"]
    assert "not JSON" in rows[7]["error"] or "Expecting value" in rows[7]["error"]
    assert rows[7]["raw"] == "no JSON"
    assert rows[8]["raw"] == "\\xff"
    assert job.finish(parts, 0)[:2] == (10, 8)


def test_names_of_results_may_have_a_prefix(run, write):
    rows = rows_of(*run(write("a", {"text": "Paris", "error": "mine"}), prefix="gliner_"))
    assert rows[0]["error"] == "mine"
    assert rows[0]["gliner_error"] is None
    assert "gliner_entities" in rows[0]


def test_a_table_keeps_its_columns_and_types_and_gets_the_same_ones_from_every_part(run, nlp, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = [*TEXTS, None, "I fail."]
    table = pyarrow.table({"id": pyarrow.array(range(6), pyarrow.int8()), "text": texts})
    parquet.write_table(table, tmp_path / "a.parquet")
    job, parts = run(tmp_path / "a.parquet", rows_per_part=2, output_format="parquet")
    pieces = [parquet.read_table(job.path_of(part)) for part in parts]
    assert len({str(piece.schema) for piece in pieces}) == 1
    whole = pyarrow.concat_tables(pieces)
    assert whole.select(["id", "text"]).equals(table)
    rows = whole.to_pylist()
    assert [one["text"] for one in rows[0]["entities"]] == [ent.text for ent in nlp(TEXTS[0]).ents]
    assert [row["error"] is None for row in rows] == [True] * 4 + [False] * 2


def test_answers_and_summaries_have_columns_in_parquet_too(make_nlp, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    nlp = make_nlp(threshold=0.0)
    source = {"source": {"name": nlp.config["components"]["gliner_ner"]["model"]["source"]["name"]}}
    relations = {"relations": ["founded"], "threshold": 0.0, "model": source}
    nlp.add_pipe("gliner_relations", config=relations)
    nlp.add_pipe("gliner_summarizer", config={"threshold": 0.0, "model": source})
    nlp.add_pipe("gliner_qa", config={"questions": ["Who?"], "threshold": 0.0, "model": source})
    nlp.add_pipe("gliner_openie", config={"prompts": ["a city"], "threshold": 0.0, "model": source})
    parquet.write_table(pyarrow.table({"text": TEXTS}), tmp_path / "a.parquet")
    plan = make_plan(tmp_path / "a.parquet", rows_per_part=10)
    job = Job(tmp_path / "out", "parquet", "parquet", "text", "", 10)
    job.begin(plan.files, lambda: nlp, 10)
    Worker(job, lambda: nlp)(plan.parts[0]._asdict())
    row = parquet.read_table(job.path_of(plan.parts[0])).to_pylist()[2]
    doc = nlp(TEXTS[2])
    assert row["error"] is None
    assert [span["text"] for span in row["summary"]] == [span.text for span in doc._.gliner_summary]
    assert [found["relation"] for found in row["relations"]] == [one.label for one in doc._.gliner_relations]
    assert row["answers"][0][0] == "Who?"
    assert row["matches"][0][0] == "a city"
    assert row["relations"] and row["summary"] and row["answers"][0][1]


def test_docs_become_docs_with_all_that_was_on_them(run, nlp, tmp_path):
    docs = [nlp.make_doc(text) for text in (*TEXTS, "I fail.")]
    docs[0].user_data["id"] = "first"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "a.spacy")
    job, parts = run(tmp_path / "a.spacy", rows_per_part=2, output_format="spacy")
    written = [doc for part in parts for doc in DocBin().from_disk(job.path_of(part)).get_docs(Vocab())]
    assert [doc.text for doc in written] == [doc.text for doc in docs]
    assert written[0].user_data["id"] == "first"
    found = [[(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents] for doc in written]
    assert found == [as_alone(nlp, text) for text in TEXTS] + [[]]
    assert written[0].spans["gliner_ner"].attrs["scores"]
    assert "This text is bad" in written[4].user_data["error"]


def test_docs_become_lines(run, nlp, tmp_path):
    DocBin(docs=[nlp.make_doc(text) for text in (*TEXTS, "I fail.")]).to_disk(tmp_path / "a.spacy")
    rows = rows_of(*run(tmp_path / "a.spacy", rows_per_part=2))
    assert [row["text"] for row in rows] == [*TEXTS, "I fail."]
    assert [row["error"] is None for row in rows] == [True] * 4 + [False]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "spacy"])
def test_no_rows_give_a_valid_file_without_rows(run, tmp_path, kind):
    source = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        source.touch()
    elif kind == "spacy":
        DocBin().to_disk(source)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), source)
    job, parts = run(source, output_format=kind)
    assert job.finish(parts, 0)[:3] == (0, 0, 1)
    if kind == "spacy":
        assert len(DocBin().from_disk(job.path_of(parts[0]))) == 0
    elif kind == "parquet":
        assert parquet.read_table(job.path_of(parts[0])).schema.names[-1] == "error"


def test_what_is_done_is_left_alone_and_what_was_killed_is_done_again(run, write, tmp_path, nlp):
    source = write("a", {"text": "Paris"}, {"text": "please kill me"})
    with pytest.raises(Killed):
        run(source, rows_per_part=1)
    out = tmp_path / "out"
    assert [path.name for path in sorted(out.iterdir())] == ["_job", "part-000000.jsonl"]
    before = (out / "part-000000.jsonl").stat().st_mtime_ns
    nlp.remove_pipe("test_scaling_trouble")
    job, parts = run(source, rows_per_part=1)
    assert (out / "part-000000.jsonl").stat().st_mtime_ns == before
    assert [row["text"] for row in rows_of(job, parts)] == ["Paris", "please kill me"]
    assert not list((out / "_job").glob("*.attempts"))


def test_a_text_that_ends_the_process_each_time_becomes_an_error(run, write):
    source = write("a", *({"id": number, "text": "kill" if number in (1, 3) else "Paris"} for number in range(5)))
    ends = 0
    while True:
        try:
            job, parts = run(source)
            break
        except Killed:
            ends += 1
    rows = rows_of(job, parts)
    assert ends == 6  # twice with all rows, then twice on each of the two
    assert [row["id"] for row in rows] == list(range(5))
    assert [row["error"] is None for row in rows] == [True, False, True, False, True]
    assert "process ended on this text" in rows[1]["error"]


def test_a_worker_that_cannot_live_gives_up(tmp_path):
    for _ in range(20):
        Attempts(tmp_path / "attempts").begin()
    with pytest.raises(ChildProcessError, match="ended 20 times"):
        Attempts(tmp_path / "attempts").begin()
    Attempts(tmp_path / "attempts").begin()


def test_columns_of_texts_come_one_for_each(nlp):
    found = list(annotate_texts(nlp, ["Paris", None, "I fail.", *TEXTS], batch_size=2, prefix="x_"))
    assert [one["x_error"] is None for one in found] == [True, False, False, True, True, True, True]
    assert [one["text"] for one in found[3]["x_entities"]] == [ent.text for ent in nlp(TEXTS[0]).ents]


def test_a_pipeline_that_leaves_texts_out_is_not_believed():
    nlp = spacy.blank("en")

    @Language.component("test_scaling_fails")
    def fails(doc):
        raise ValueError("bad")

    nlp.add_pipe("test_scaling_fails")
    nlp.set_error_handler(lambda *_: None)
    assert [one["error"] for one in annotate_texts(nlp, ["a", "b"])] == ["ValueError: bad"] * 2


def test_what_is_wrong_with_a_whole_part_is_told_and_nothing_is_written(write, tmp_path):
    def make():
        raise ValueError("no pipeline")

    plan = make_plan(write("a", {"text": "Paris"}), rows_per_part=1)
    job = Job(tmp_path / "out", "jsonl", "jsonl", "text", "", 1)
    job.begin(plan.files, make, 1)
    failure = Worker(job, make)(plan.parts[0]._asdict())["failure"]
    assert failure.endswith("a.jsonl, from row 1 on: ValueError: no pipeline")
    assert not job.is_done(plan.parts[0])
    assert not job.attempts(plan.parts[0]).path.exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_a_worker_with_an_accelerator_uses_it(nlp, tmp_path):
    nlp.remove_pipe("test_scaling_trouble")
    nlp.to_disk(tmp_path / "nlp")
    loaded = load(tmp_path / "nlp", gpu=True)
    assert as_alone(loaded, TEXTS[0]) == as_alone(nlp, TEXTS[0])
    assert loaded.get_pipe("gliner_ner").device.startswith("cuda")


def test_a_pipeline_is_loaded_once_for_each_process(nlp, tmp_path):
    nlp.remove_pipe("test_scaling_trouble")
    nlp.to_disk(tmp_path / "nlp")
    assert load_once(str(tmp_path / "nlp")) is load_once(str(tmp_path / "nlp"))


def test_threads_are_those_of_the_worker(tmp_path):
    before = torch.get_num_threads()
    Worker(Job(tmp_path, "jsonl", "jsonl", "text", "", 1), str(tmp_path), threads=2)
    try:
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_files_can_be_read_by_others(run, write):
    job, parts = run(write("a", {"text": "Paris"}))
    assert os.stat(job.path_of(parts[0])).st_mode & 0o444 == 0o444
