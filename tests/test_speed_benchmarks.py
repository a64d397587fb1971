"""The scripts of `benchmarks/` run: with a tiny network, without other libraries, and as briefly as can be."""

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts import each other as modules of their own folder; what they change is put back."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import catalogue

    monkeypatch.setattr(catalogue, "AVAILABLE_ENTRY_POINTS", catalogue.AVAILABLE_ENTRY_POINTS)


def test_speed_is_measured_written_down_and_put_into_the_tables(tiny_span_checkpoint, tmp_path, monkeypatch, capsys):
    import inference
    import systems
    import tables

    monkeypatch.setitem(systems.INSTALL, "fast-gliner", ["no_such_package"])

    results, docs = tmp_path / "speed.jsonl", tmp_path / "speed.md"
    docs.write_text("before\n<!-- speed -->\n<!-- end -->\nafter", encoding="utf8")
    for mode, labels in (("stream", "3,30"), ("single", "3")):
        inference.main(str(tiny_span_checkpoint), "short", labels, "fast-gliner,other", "8", mode, 1, 40, results)
    rows = [json.loads(line) for line in results.read_text(encoding="utf8").splitlines()]
    assert [(row["mode"], row["labels"]) for row in rows] == [("stream", 3), ("stream", 30), ("single", 3)]
    assert all(row["words"] >= 40 and len(row["seconds"]) == len(row["limits"]) == 1 for row in rows)
    told = capsys.readouterr().err
    assert "pip install no-such-package" in told and "other is left out: no such system" in told
    tables.main([results], docs)
    written = docs.read_text(encoding="utf8")
    assert written.startswith("before\n") and written.endswith("\nafter") and written.count("| short") == 3
    elsewhere = [row | {"machine": {"processor": "another"}} for row in rows]
    with results.open("a", encoding="utf8") as file:
        file.writelines(json.dumps(row) + "\n" for row in elsewhere)
    tables.main([results], docs)
    written = docs.read_text(encoding="utf8")
    assert written.count("| short") == 6 and written.count("\nanother:\n") == 1


def test_other_number_formats_stand_in_tables_of_their_own(tiny_span_checkpoint, tmp_path, capsys):
    import inference

    peers, results = "gliner-packed,gliner-compiled,gliner-flash", tmp_path / "speed.jsonl"
    usual = str(tiny_span_checkpoint), "short", "3", peers, "8", "stream", 1, 40, results
    inference.main(*usual, device="cpu", precision="bfloat16", max_pieces=64)
    rows = [json.loads(line) for line in results.read_text(encoding="utf8").splitlines()]
    assert [row["system"] for row in rows] == ["spacy-gliner", "gliner-packed"]
    assert all(row["machine"]["processor"].endswith(", bfloat16") for row in rows)
    told = capsys.readouterr().err
    assert "it compiles for CUDA only" in told and "pip install flashdeberta" in told


def test_on_other_devices_there_are_no_runtimes_for_cpus(tmp_path):
    import systems

    on_gpu = {"batches": [8], "one_by_one": False, "setting": systems.Setting("cuda")}
    with pytest.raises(ValueError, match="CPUs only"):
        systems.load("fast-gliner", tmp_path, tmp_path, **on_gpu)


def test_thresholds_take_turns(tiny_checkpoint, tmp_path, capsys):
    import thresholds

    results = tmp_path / "thresholds.jsonl"
    thresholds.main(tiny_checkpoint, "0.99,0.01", 3, "short", 1, 40, results)
    rows = [json.loads(line) for line in results.read_text(encoding="utf8").splitlines()]
    assert [row["threshold"] for row in rows] == [0.99, 0.01] and rows[0]["found"] <= rows[1]["found"] > 0
    assert capsys.readouterr().out.count("| short |") == 2


def test_the_reference_library_finds_the_same(tiny_span_checkpoint, tmp_path):
    import systems
    import works

    from spacy_gliner.ml.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(tiny_span_checkpoint)
    work = works.make_work("short", 3, checkpoint.network, checkpoint.tokenizer, 100)
    for one_by_one in (False, True):
        found = [
            find(work)
            for name in ("spacy-gliner", "gliner", "gliner-sorted")
            for find in systems.load(name, tiny_span_checkpoint, tmp_path, batches=[4], one_by_one=one_by_one).values()
        ]
        assert found[0] and all(set(of_peer) == set(found[0]) for of_peer in found[1:])


def test_parts_hold_all_words_once_and_fit_beside_every_group_of_labels(tiny_checkpoint):
    import works

    from spacy_gliner.ml.checkpoints import read_checkpoint
    from spacy_gliner.types import Query

    checkpoint = read_checkpoint(tiny_checkpoint)
    work = works.make_work("paragraph", 60, checkpoint.network, checkpoint.tokenizer, 300)
    assert len(work.groups) > 1 and [label for group in work.groups for label in group] == work.labels
    for row, text in enumerate(work.texts):
        parts = [part for part in work.parts if part.row == row]
        assert all(text[part.start :].startswith(part.text) for part in parts)
        assert [word for part in parts for word in works.WORD.findall(part.text)] == works.WORD.findall(text)
    prompts = [checkpoint.tokenizer.prompt_size(Query((), tuple(group))) for group in work.groups]
    sizes = [sum(map(len, checkpoint.tokenizer.pieces(works.WORD.findall(part.text)))) for part in work.parts]
    assert max(prompts) + max(sizes) <= checkpoint.network.max_pieces == 128


def test_a_fresh_process_tells_times_and_memory(tiny_checkpoint, tmp_path):
    import fresh

    file = tmp_path / "texts.json"
    file.write_text(json.dumps(["Bill Gates founded Microsoft."] * 5), encoding="utf8")
    taken = fresh.main("spacy-gliner", str(tiny_checkpoint), str(file), 2)
    assert len(taken["seconds"]) == 3 and len(taken["resident"]) == 4 and taken["peak"] >= taken["peak_first"] > 0


def test_words_of_long_documents_are_timed(tiny_checkpoint):
    import scaling

    nlp = scaling.our_pipeline(str(tiny_checkpoint), ["person"])
    assert all(seconds > 0 for seconds in scaling.seconds_of_a_word(nlp, 500))


def test_the_real_sizes_have_their_layers(tmp_path):
    import works

    bert, modern = works.SIZES["minilm"], works.SIZES["modernbert"]
    n, size = 100, bert["hidden_size"]
    assert works.encoder_flops(bert, n) == 6 * (24 * n * size**2 + 4 * n**2 * size)
    per_layer = 2 * n * (4 * 768**2 + 3 * 768 * 1152) + 4 * n**2 * 768
    assert works.encoder_flops(modern, n) == 22 * per_layer  # shorter than the local window: all layers are equal
    assert works.encoder_flops(modern, 1000) < 10 * 22 * per_layer + 8 * 4 * 1000**2 * 768


def test_training_is_measured_beside_the_reference_library(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gliner")
    import training_speed

    from .tiny import save_tiny_backbone

    monkeypatch.setattr(training_speed, "alone", lambda function, *args: function(*args))
    monkeypatch.setattr(training_speed.os, "environ", {})
    backbone, written = str(save_tiny_backbone(tmp_path / "encoder")), tmp_path / "training.json"
    training_speed.main(backbone, str(training_speed.SAMPLE), "span,token", 2, 4, 1, 2, 1, 1, written)
    report = json.loads(written.read_text(encoding="utf8"))
    assert [(row["library"], row["head"]) for row in report["results"]] == [
        ("spacy-gliner", "span"), ("gliner", "span"), ("spacy-gliner", "token"), ("gliner", "token")
    ]  # fmt: skip
    assert all(len(row["speeds"]) == len(row["cpu_speeds"]) == 2 and row["peak_mb"] > 0 for row in report["results"])
    by_head = {row["head"]: row["parameters"] for row in report["results"] if row["library"] == "gliner"}
    assert all(row["parameters"] == pytest.approx(by_head[row["head"]], rel=0.1) for row in report["results"])
    table = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| span", "spacy-gliner"], ["| span", "gliner"], ["| token", "spacy-gliner"], ["| token", "gliner"]
    ]  # fmt: skip
