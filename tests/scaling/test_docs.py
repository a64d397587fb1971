"""What docs/scaling.md tells to copy is run: several processes, and Spark on this machine."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import spacy

import spacy_gliner

EMBEDDED = Path(spacy_gliner.__file__).parent / "embedded"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "scaling.md"

pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="there is no docs/scaling.md")


def code_blocks(language):
    text = DOCUMENT.read_text(encoding="utf8") if DOCUMENT.is_file() else ""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def run(code, **names):
    exec(compile(code, DOCUMENT.name, "exec"), {"__name__": "__main__", **names})


@pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the package holds no embedded model")
def test_several_processes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save, several = code_blocks("python")
    run(save)
    run(several)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 200
    assert "Marie Curie" in lines[0]


def test_what_is_not_run_here_can_be_read():
    for code in code_blocks("python skip"):
        compile(code, DOCUMENT.name, "exec")
        assert "from spacy_gliner.ray import annotate" in code


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_spark_gives_every_row_once(tmp_path, monkeypatch, make_nlp):
    pytest.importorskip("pyspark")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("there is no Java")
    from pyspark.sql import SparkSession

    monkeypatch.chdir(tmp_path)
    for name, value in {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    nlp = make_nlp(threshold=0.1)
    nlp.to_disk("my_pipeline")
    texts = [None if number == 7 else f"Ada met Babbage in Paris, number {number}" for number in range(40)]
    rows = [{"id": number, "text": text} for number, text in enumerate(texts)]
    Path("texts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    spark = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    try:
        (recipe,) = code_blocks("python spark")
        run(recipe)
        written = sorted(spark.read.parquet("annotated").collect(), key=lambda row: row["id"])
    finally:
        spark.stop()
    assert [(row["id"], row["text"]) for row in written] == [(row["id"], row["text"]) for row in rows]
    assert [row["id"] for row in written if row["error"]] == [7]
    assert "not a text" in written[7]["error"]
    alone = [(ent.start_char, ent.end_char, ent.label_) for ent in spacy.load("my_pipeline")(texts[3]).ents]
    assert [(one["start"], one["end"], one["label"]) for one in written[3]["entities"]] == alone
