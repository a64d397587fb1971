"""Ray: two workers on this machine, one of which is killed; and what is said without any."""

import json
import os
import signal
import sys

import pytest
import spacy
from spacy.language import Language
from typer.testing import CliRunner

from spacy_gliner.cli import app
from spacy_gliner.ray import annotate
from spacy_gliner.scaling.job import Job
from spacy_gliner.scaling.parts import make_plan
from spacy_gliner.scaling.working import Worker

LOCAL = {"include_dashboard": False, "num_cpus": 2, "_node_ip_address": "127.0.0.1"}


@pytest.fixture
def pipeline(make_nlp, tmp_path):
    make_nlp(threshold=0.1).to_disk(tmp_path / "nlp")
    return tmp_path / "nlp"


@pytest.fixture
def local_ray(monkeypatch):
    """Ray on this machine alone."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # a token would be written to the home folder
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # workers are as important as the test that waits for them
    ray.init(**LOCAL)
    yield ray
    ray.shutdown()


def killed_once(folder, marker):
    """A function that makes the pipeline; it ends its process when it comes to a certain text, once."""

    def make() -> Language:
        @Language.component("test_ray_kill_once")
        def kill_once(doc):
            if doc.text.endswith("number 137"):
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return doc
                os.kill(os.getpid(), signal.SIGKILL)
            return doc

        nlp = spacy.load(folder)
        nlp.add_pipe("test_ray_kill_once")
        return nlp

    return make


def done_before(source, make, output, number, rows_per_part):
    """Do one part of a job, as in an earlier run; by what its file is known."""
    plan = make_plan(source, rows_per_part=rows_per_part)
    job = Job(output, "jsonl", "jsonl", "text", "", 8)
    job.begin(plan.files, make, rows_per_part)
    Worker(job, make)(plan.parts[number]._asdict())
    return job.path_of(plan.parts[number]).stat().st_ino


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_every_row_is_there_once_though_a_worker_is_killed(local_ray, pipeline, write, tmp_path):
    rows = [{"id": number, "text": f"Ada met Babbage in Paris, number {number}"} for number in range(300)]
    rows[7]["text"] = None
    source, output, marker = write("a", *rows), tmp_path / "out", tmp_path / "killed"
    make = killed_once(pipeline, marker)
    before = done_before(source, make, output, 4, rows_per_part=20)
    report = annotate(source, make, output, n_workers=2, rows_per_part=20, batch_size=8)
    assert marker.exists()
    assert report == (300, 1, 15, 1)
    assert (output / "part-000004.jsonl").stat().st_ino == before
    written = [json.loads(line) for path in sorted(output.glob("part-*")) for line in path.open(encoding="utf8")]
    assert [row["id"] for row in written] == list(range(300))
    assert [row["id"] for row in written if row["error"]] == [7]
    assert any(row["entities"] for row in written)
    noted = [json.loads(path.read_bytes()) for path in (output / "_job").glob("part-*.json")]
    assert len({note["pid"] for note in noted} - {os.getpid()}) >= 2


def test_without_ray_it_is_said_how_to_install_it(monkeypatch, write, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-gliner\[ray\]'"):
        annotate(write("a", {"text": "Paris"}), "nlp", tmp_path / "out")


def test_what_cannot_be_asked_is_said_before_ray_starts(pipeline, write, tmp_path):
    pytest.importorskip("ray")
    source = write("a", {"text": "Paris"})
    with pytest.raises(ValueError, match="jsonl become jsonl, not 'parquet'"):
        annotate(source, pipeline, tmp_path / "out", output_format="parquet")
    with pytest.raises(ValueError, match="folder of the input"):
        annotate(source, pipeline, tmp_path)
    with pytest.raises(ValueError, match="batch_size"):
        annotate(source, pipeline, tmp_path / "out", batch_size=0)
    with pytest.raises(ValueError, match="no column 'body'; it has text"):
        annotate(source, pipeline, tmp_path / "out", text="body")
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_became_of_it(pipeline, write, tmp_path):
    """All is done already, so that no worker starts."""
    pytest.importorskip("ray")
    source, output = write("a", {"text": "Paris"}), tmp_path / "out"
    (output / "_job").mkdir(parents=True)
    (output / "_job" / "part-000000.json").write_text('{"rows": 1, "errors": 1}')
    result = CliRunner().invoke(app, ["annotate", str(source), str(pipeline), str(output), "--text", "body"])
    assert result.exit_code == 1
    assert "no column 'body'" in result.stderr
    (output / "part-000000.jsonl").write_text("")
    result = CliRunner().invoke(app, ["annotate", str(source), str(pipeline), str(output)])
    assert "holds other files" in result.stderr
    (output / "part-000000.jsonl").rename(tmp_path / "kept")
    plan = make_plan(source, rows_per_part=1000)
    Job(output, "jsonl", "jsonl", "text", "", 1).begin(plan.files, str(pipeline), 1000)
    (tmp_path / "kept").rename(output / "part-000000.jsonl")
    result = CliRunner().invoke(app, ["annotate", str(source), str(pipeline), str(output)])
    assert result.exit_code == 0
    assert "1 rows in 1 files" in result.stdout
    assert "1 rows have an error" in result.stderr
