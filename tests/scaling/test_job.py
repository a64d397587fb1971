"""The folder of the output: begun with one thing, gone on with the same, finished when all parts are there."""

import json
import os

import pytest
import spacy

from spacy_gliner.scaling.job import Job, identity
from spacy_gliner.scaling.parts import make_plan
from spacy_gliner.scaling.writing import whole_file


@pytest.fixture
def source(write):
    return write("a", *({"text": str(number)} for number in range(5)))


@pytest.fixture
def pipeline(tmp_path):
    spacy.blank("en").to_disk(tmp_path / "nlp")
    return tmp_path / "nlp"


def begin(tmp_path, source, pipeline, *, rows_per_part=2, **settings):
    plan = make_plan(source, rows_per_part=rows_per_part)
    settings = {"output_format": "jsonl", "text": "text", "prefix": "", "batch_size": 3, **settings}
    job = Job(tmp_path / "out", "jsonl", **settings)
    job.begin(plan.files, pipeline, rows_per_part)
    return job, plan.parts


def write_all(job, parts, errors=0):
    for part in parts:
        job.path_of(part).write_text("done")
        job.note(part, {"rows": part.rows, "errors": errors})


def test_a_job_goes_on_with_the_same(tmp_path, source, pipeline):
    begin(tmp_path, source, pipeline)
    begin(tmp_path, source, pipeline, batch_size=7)


def test_another_input_setting_or_pipeline_is_an_error_that_names_it(tmp_path, source, pipeline, write):
    begin(tmp_path, source, pipeline)
    with pytest.raises(ValueError, match="rows_per_part 2, not 3"):
        begin(tmp_path, source, pipeline, rows_per_part=3)
    with pytest.raises(ValueError, match="prefix '', not 'x'"):
        begin(tmp_path, source, pipeline, prefix="x")
    with pytest.raises(ValueError, match="first that differs: b.jsonl"):
        begin(tmp_path, [source, write("b", {"text": "b"})], pipeline)
    with pytest.raises(ValueError, match="pipeline 'nlp', not 'spacy.blank'"):
        begin(tmp_path, source, spacy_blank)
    (pipeline / "tokenizer").write_text("other rules")
    with pytest.raises(ValueError, match="other contents of the pipeline nlp"):
        begin(tmp_path, source, pipeline)


def test_a_file_that_changed_since_is_an_error(tmp_path, source, pipeline):
    begin(tmp_path, source, pipeline)
    os.utime(source, ns=(0, 0))
    with pytest.raises(ValueError, match="first that differs: a.jsonl"):
        begin(tmp_path, source, pipeline)


def test_a_folder_with_other_files_is_not_written_to(tmp_path, source, pipeline):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        begin(tmp_path, source, pipeline)


def test_a_job_is_finished_when_all_parts_are_there(tmp_path, source, pipeline):
    job, parts = begin(tmp_path, source, pipeline)
    write_all(job, parts[:2])
    with pytest.raises(ChildProcessError, match="1 of 3 parts were not finished"):
        job.finish(parts, 0)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    (tmp_path / "out" / ".part-000002.jsonl-rest").touch()
    write_all(job, parts)
    assert job.finish(parts, 2) == (5, 0, 3, 2)
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_text())["rows"] == 5
    assert not list((tmp_path / "out").glob(".part*"))


def test_parts_with_errors_can_be_done_again(tmp_path, source, pipeline):
    job, parts = begin(tmp_path, source, pipeline)
    write_all(job, parts[:2])
    write_all(job, parts[2:], errors=1)
    job.finish(parts, 0)
    assert job.left(parts) == []
    assert job.left(parts, retry_errors=True) == parts[2:]
    assert [job.is_done(part) for part in parts] == [True, True, False]
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_pipeline_is_a_folder_a_package_or_a_function(tmp_path, pipeline):
    assert identity(pipeline) == identity(str(pipeline))
    assert identity(spacy_blank) == {"name": "spacy.blank"}
    with pytest.raises(FileNotFoundError, match="neither the folder of a saved pipeline nor an installed one"):
        identity("no_such_pipeline")
    with pytest.raises(ValueError, match=r"Save it with nlp\.to_disk"):
        identity(spacy.blank("en"))


def spacy_blank():
    return spacy.blank("en")


spacy_blank.__qualname__ = "spacy.blank"


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with whole_file(path) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
