"""`spacy gliner benchmark`: from a folder of files to our scores beside those of the papers."""

import json
from pathlib import Path
from statistics import fmean

import pytest
import spacy
from typer.testing import CliRunner

from spacy_gliner.cli import app
from spacy_gliner.display_markdown import report_markdown
from spacy_gliner.evaluation import Evaluation, SetScore, benchmark
from spacy_gliner.evaluation_benchmark import Report, choose, measure_entities, measure_tasks, published_f1
from spacy_gliner.published import SETS, published_set

from .test_evaluate import ARTICLE, ENTITIES, FACTS, FOUNDED, MET, NEWS, answering

MOVIE = {"tokens": ["Ada", "stars", "in", "London"], "spans": [[0, 0, "actor"], [3, 3, "title"]]}
NER_SETS = [name for name, known in SETS.items() if known.kind == "entities"]


@pytest.fixture
def nlp(make_nlp):
    """A pipeline with a tiny random network."""
    return make_nlp(labels=[])


def run(*arguments):
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def score(precision, recall, f1, n_rows=431):
    return SetScore(precision, recall, f1, n_rows, n_gold=10, n_predicted=10)


def cells(markdown, first):
    """The cells of the rows that begin with this one."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if "|" in line]
    return [row for row in rows if row[0] == first]


def test_every_set_of_entities_has_the_same_published_systems_with_scores_between_0_and_1():
    systems = {name: [(row.system, row.source) for row in SETS[name].rows] for name in NER_SETS}
    assert len(NER_SETS) == 7 and len(systems["mit_movie"]) == 15
    assert all(of_set == systems["mit_movie"] for of_set in systems.values())
    assert all(0 < value < 1 for known in SETS.values() for row in known.rows for value in row.scores.values())


@pytest.mark.parametrize(
    "system, printed",
    [
        ("Vicuna-7B", 13.0),
        ("ChatGPT", 47.5),
        ("UniNER-13B", 55.6),
        ("GLiNER-S", 52.7),
        ("GLiNER-M", 55.4),
        ("GLiNER-L", 60.9),
        ("NuNER_Zero-span", 61.96),
        ("gliner_large-v2.1", 57.54),
    ],
)
def test_averages_of_published_systems_are_those_that_the_papers_print(system, printed):
    (row,) = [row for row in published_f1(NER_SETS) if row.system == system]
    assert 100 * row.average == pytest.approx(printed, abs=0.051)


def test_published_f1_is_made_of_published_precision_and_recall():
    rows = [row.scores for name in NER_SETS for row in SETS[name].rows if "precision" in row.scores]
    assert len(rows) == 28
    for of_row in rows:
        p, r = of_row["precision"], of_row["recall"]
        assert of_row["f1"] == pytest.approx(2 * p * r / (p + r), abs=0.0002)


def test_tables_of_the_other_tasks_stand_by_the_names_of_our_scores():
    best = {name: next(iter(known.rows)).scores for name, known in SETS.items() if known.kind != "entities"}
    assert best["squad_v2_dev"] == {"answers_em": 0.8772, "answers_f": 0.9199}
    assert best["rel_fewrel_val"] == {"em": 0.825, "f1": 0.8736}
    assert best["sum_cnndm_validation"]["summary_rouge1"] == 0.2484
    assert best["sum_cnndm_validation"]["summary_rougeL_std"] == 0.1117
    assert {len(known.rows) for known in SETS.values() if known.kind != "entities"} == {8}


def test_a_set_is_recognised_by_name_and_kind():
    assert published_set("crossner_ai", "entities").title == "CrossNER AI"
    assert published_set("crossner_ai", "questions") is None
    assert published_set("crossner_ai_train", "entities") is None


def test_files_are_chosen_by_whole_parts_of_their_names():
    files = [Path(f"{name}.jsonl") for name in ("crossner_ai", "limits", "mit_movie", "rel_fewrel_val")]
    assert choose(files, []) == files
    assert choose(files, ["mit", "crossner"]) == [files[0], files[2]]
    assert choose(files, ["fewrel", "crossner_ai"]) == [files[0], files[3]]
    with pytest.raises(ValueError, match=r"No file has 'mti' in its name\. There are: crossner_ai, limits, mit_movie"):
        choose(files, ["crossner", "mti"])


def test_a_limit_takes_rows_from_all_over_a_file_and_asks_for_the_labels_of_all(nlp, write):
    asked = answering(nlp, "gliner_ner", {})
    path = write("entities", MOVIE, ENTITIES, ENTITIES, {"tokens": ["London"], "spans": [[0, 0, "city"]]})
    assert benchmark(nlp, [path], limit=2)["entities"].n_rows == 2
    assert [doc[0].text for doc in asked] == ["Ada", "Ada"]
    assert {tuple(doc._.gliner_labels) for doc in asked} == {("actor", "city", "person", "title")}


def test_precision_recall_and_f1_stand_in_the_first_table_with_their_average():
    report = Report("ours", entities={"crossner_ai": score(0.5, 0.4, 0.444), "mine": score(0.3, 0.2, 0.24)})
    table = report_markdown(report)
    assert cells(table, "set")[0][-3:] == ["P", "R", "F1"]
    assert cells(table, "CrossNER AI")[0][1:] == ["431", "10", "50.0", "40.0", "44.4"]
    assert cells(table, "`mine`")[0][-3:] == ["30.0", "20.0", "24.0"]
    assert cells(table, "**average**")[0][-3:] == ["40.0", "30.0", "34.2"]


def test_averages_beside_published_ones_are_over_exactly_the_sets_that_papers_have_too():
    scores = {"crossner_ai": score(0.5, 0.4, 0.4), "mit_movie": score(0.5, 0.4, 0.6), "mine": score(0, 0, 0)}
    report = Report("ours", entities=scores)
    table = report_markdown(report)
    assert cells(table, "system")[0] == ["system", "parameters", "CrossNER AI", "MIT movie", "average", "from"]
    assert cells(table, "**ours**")[0] == ["**ours**", "", "40.0", "60.0", "50.0", ""]
    assert cells(table, "GLiNER-L")[0] == ["GLiNER-L", "0.3B", "57.2", "57.2", "57.2", "[1], Table 1"]
    assert cells(table, "InstructUIE")[0][2:5] == ["49.0", "63.0", "56.0"]
    assert cells(table, "gliner-multitask-v0.5")[0][2:5] == ["51.05", "56.6", "53.8"]
    average = report.to_json()["published_average"]
    assert (average["sets"], average["model"]["f1"]) == (["crossner_ai", "mit_movie"], 0.5)
    (multitask,) = [row for row in average["systems"] if row["system"] == "gliner-multitask-v0.5"]
    assert multitask["f1"] == pytest.approx(fmean([0.5105, 0.5660]))
    assert report.to_json()["average"]["f1"] == pytest.approx(1 / 3)


def test_sets_that_no_paper_has_stand_alone():
    scores = {"answers_em": 0.5, "answers_f": 0.5}
    tasks = {"mine": Evaluation("questions", {"questions": 2}, scores, {"no answer": scores})}
    report = Report("ours", entities={"crossner_mine": score(0.5, 0.4, 0.4)}, tasks=tasks)
    table = report_markdown(report)
    assert "GLiNER" not in table and "Flan-T5" not in table and "arxiv" not in table
    assert [row[0] for row in cells(table, "no answer")] == ["no answer"]
    assert (report.to_json()["published"], report.to_json()["published_average"]) == ({}, None)


def test_baselines_and_published_rows_stand_below_ours():
    scores = {"answers_em": 0.4, "answers_f": 0.45, "answers_has_ans_em": None}
    squad = Evaluation("questions", {"paragraphs": 9, "questions": 11873}, scores, {"no answer": scores})
    table = report_markdown(Report("my|model", tasks={"squad_v2_dev": squad}))
    assert "### SQuAD 2.0 (9 paragraphs, 11,873 questions)" in table
    systems = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("| ")]
    assert systems[2:5] == ["**my\\|model**", "no answer", "gliner-multitask-large-v0.5"]
    row = ["gliner-multitask-large-v0.5", "440M", "87.72", "91.99", "-", "-", "-", "[2], Table 3"]
    assert cells(table, row[0]) == [row]
    assert "[2] [GLiNER multi-task](https://arxiv.org/abs/2406.12925)" in table


def test_standard_deviations_are_published_too():
    scores = {"summary_rouge1": 0.2, "summary_rouge1_std": 0.1, "summary_rouge2": 0.1, "summary_rougeL": 0.1}
    table = report_markdown(Report("m", tasks={"sum_cnndm_validation": Evaluation("summaries", {"texts": 1}, scores)}))
    assert cells(table, "**m**")[0][2:4] == ["20.0 ± 10.0", "10.0"]
    assert cells(table, "Flan-T5-base")[0][2:4] == ["21.66 ± 12.32", "6.93 ± 8.99"]


def test_notes_say_what_differs_from_the_papers_protocol(nlp, write):
    answering(nlp, "gliner_ner", {})
    path = write("mit_movie", MOVIE, {"tokens": ["a"], "spans": [[0, 0, "else"], [0, 0, "river"]]})
    report = Report("m")
    list(measure_entities(report, nlp, [path, write("mine", MOVIE)], threshold=0.3))
    assert report.notes["mine"] == []
    size, threshold, left_out, labels = report.notes["mit_movie"]
    assert size == "Measured on 2 sentences; the papers' set has 2,443."
    assert threshold == "Threshold 0.3; the papers' is 0.5."
    assert left_out == "Neither asked for nor counted: 'else'."
    assert labels.startswith("Other labels than the papers': 'river' besides, 'average ratings' missing")
    assert f"- MIT movie: {threshold}" in report_markdown(report)


def test_a_set_measured_as_in_the_papers_has_no_note(nlp, write):
    answering(nlp, "gliner_ner", {})
    labels = sorted(SETS["mit_movie"].labels)
    rows = [{"tokens": labels, "spans": [[at, at, label] for at, label in enumerate(labels)]}] * 2443
    report = Report("m")
    list(measure_entities(report, nlp, [write("mit_movie", *rows)]))
    assert report.notes == {"mit_movie": []}
    assert "Not as in the papers" not in report_markdown(report)


def test_thresholds_of_single_labels_are_noted(make_nlp, write):
    nlp = make_nlp(labels=[], label_thresholds=[["actor", 0.4]])
    report = Report("m")
    list(measure_entities(report, nlp, [write("mit_movie", MOVIE)]))
    assert "Some labels have thresholds of their own." in report.notes["mit_movie"]


def test_sets_with_the_same_note_share_it():
    note = "Neither asked for nor counted: 'else'."
    scores = dict.fromkeys(("crossner_ai", "crossner_music"), score(0.1, 0.1, 0.1))
    report = Report("m", limit=5, entities=scores, notes=dict.fromkeys(scores, [note]))
    table = report_markdown(report)
    assert f"- CrossNER AI, CrossNER music: {note}" in table
    assert "At most 5 texts of each file" in table


def test_other_tasks_say_what_the_papers_leave_open(nlp, write):
    answering(nlp, "gliner_relations", {})
    answering(nlp, "gliner_ner", {})
    report = Report("m")
    list(measure_tasks(report, nlp, [write("rel_fewrel_val", FOUNDED, MET), write("facts", FACTS)]))
    size, best = report.notes["rel_fewrel_val"]
    assert size == "Measured on 2 facts; the papers' set has 11,200."
    assert "names no threshold" in best
    assert report.notes["facts"] == []


def test_a_folder_of_all_kinds_gives_tables_json_and_markdown(tiny_checkpoint, write, tmp_path):
    pytest.importorskip("rouge_score")
    folder = tmp_path / "report"
    rows = {
        "crossner_ai": ENTITIES,
        "mine": MOVIE,
        "oie": {"tokens": ["a"], "tuples": []},
        "rel_fewrel_val": FOUNDED,
        "rel_mine": FACTS,
        "squad_v2_dev": ARTICLE,
        "sum_cnndm_validation": NEWS,
    }
    for name, row in rows.items():
        write(name, row, row)
    options = ("--json", folder / "b.json", "--markdown", folder / "b.md", "--limit", 1)
    result = run(tiny_checkpoint, tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert "Passed over" in result.stderr and "oie.jsonl" in result.stderr
    tables = [table.splitlines() for table in result.stdout.strip().split("\n\n")]
    assert [line.split()[0] for line in tables[0]] == ["set", "crossner_ai", "mine", "average"]
    assert [table[0].split(" ")[0] for table in tables[1:]] == [
        "rel_fewrel_val",
        "rel_mine",
        "squad_v2_dev",
        "sum_cnndm_validation",
    ]
    report = json.loads((folder / "b.json").read_text(encoding="utf8"))
    assert set(report["sets"]) == {"crossner_ai", "mine"} and report["sets"]["mine"]["n_rows"] == 1
    assert report["tasks"]["squad_v2_dev"]["counts"] == {"paragraphs": 1, "questions": 3}
    assert set(report["published"]) == set(rows) - {"mine", "oie", "rel_mine"}
    markdown = (folder / "b.md").read_text(encoding="utf8")
    for title in ("## Entities", "## Relations: the tail", "## Relations: all facts", "## Questions", "## Summaries"):
        assert title in markdown
    assert cells(markdown, "lead-3") and cells(markdown, "nearest entity") and cells(markdown, "no answer")


def test_a_threshold_is_for_entities_alone(tiny_checkpoint, write, tmp_path):
    report = tmp_path / "b.json"
    files = [write("mit_movie", MOVIE), write("squad_v2_dev", ARTICLE)]
    assert run(tiny_checkpoint, *files, "--threshold", 0.25, "--json", report).exit_code == 0
    notes = json.loads(report.read_text(encoding="utf8"))["notes"]
    assert "Threshold 0.25; the papers' is 0.5." in notes["mit_movie"]
    assert not any("Threshold" in note for note in notes["squad_v2_dev"])


def test_what_was_measured_before_a_broken_file_is_kept(tiny_checkpoint, write, tmp_path):
    report = tmp_path / "b.json"
    broken = write("z_news", FOUNDED, {**FOUNDED, "head": {"start": 90, "end": 90}})
    result = run(tiny_checkpoint, write("a", MOVIE), broken, "--json", report)
    assert (result.exit_code, "z_news.jsonl, line 2" in result.stderr) == (1, True)
    assert list(json.loads(report.read_text(encoding="utf8"))["sets"]) == ["a"]


def test_entities_measured_before_a_broken_file_of_entities_are_kept(tiny_checkpoint, write, tmp_path):
    report = tmp_path / "report.json"
    broken = write("z_broken", MOVIE, {**MOVIE, "spans": [[3, 99, "title"]]})
    result = run(tiny_checkpoint, write("a", MOVIE), broken, "--json", report)
    assert result.exit_code == 1 and "z_broken" in result.stderr
    assert list(json.loads(report.read_text(encoding="utf8"))["sets"]) == ["a"]


def test_only_leaves_out_other_files_without_looking_into_them(tiny_checkpoint, write, tmp_path):
    write("mit_movie", MOVIE)
    write("strange", {"words": []})
    result = run(tiny_checkpoint, tmp_path, "--only", "mit")
    assert result.exit_code == 0 and "strange" not in result.stderr
    assert "mit_movie" in result.stdout


def test_a_pipeline_without_entities_gets_a_component_that_borrows_its_network(tiny_checkpoint, write, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_qa", config={"model": {"source": {"name": str(tiny_checkpoint)}}})
    nlp.to_disk(tmp_path / "model")
    result = run(tmp_path / "model", write("mit_movie", MOVIE))
    assert result.exit_code == 0, result.output


def test_errors_say_what_to_do_in_one_line(tiny_checkpoint, write, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "strange").mkdir()
    strange = write("strange/strange", {"words": []})
    for arguments, message in [
        ((tmp_path / "empty",), "No data at"),
        ((tmp_path / "strange",), "nothing to measure"),
        ((strange,), "strange.jsonl can't be evaluated"),
        ((strange, "--only", "mit"), "No file has 'mit' in its name"),
        ((write("a", MOVIE), write("other/a", MOVIE)), "Two files are named a"),
    ]:
        result = run(tiny_checkpoint, *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        line = result.stderr.splitlines()[-1]
        assert line.startswith("Error: ") and message in line
