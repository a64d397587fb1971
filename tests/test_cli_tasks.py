"""Relations, summaries, answers and prompts on the command line."""

import json

import pytest
import spacy
from typer.testing import CliRunner

from spacy_gliner.asking import Wanted, only_wanted, parse_relation
from spacy_gliner.cli import app
from spacy_gliner.display_tasks import print_results
from spacy_gliner.pipeline.extensions import register_extensions

TEXT = "Ada Lovelace met Charles Babbage in London. He founded it."
ENTITIES = ("--labels", "person,city", "--threshold", "0")


def run(*arguments):
    return CliRunner().invoke(app, ["extract", *map(str, arguments)])


def found(*arguments, model):
    result = run(TEXT, *arguments, "--model", model, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_only_what_is_asked_for_is_in_the_result(tiny_checkpoint):
    assert set(found(*ENTITIES, model=tiny_checkpoint)) == {"text", "entities"}
    assert set(found("--summary", model=tiny_checkpoint)) == {"text", "entities", "summary"}
    assert set(found("-q", "Who met her?", model=tiny_checkpoint)["answers"]) == {"Who met her?"}
    assert set(found("-p", "cities", "-p", "people", model=tiny_checkpoint)["matches"]) == {"cities", "people"}
    assert set(found(*ENTITIES, "-r", "met,born in", model=tiny_checkpoint)) == {"text", "entities", "relations"}


def test_positions_are_characters_of_the_text(tiny_checkpoint):
    result = found(*ENTITIES, "-r", "met,born in", "-s", "-q", "Who met her?", "-p", "cities", model=tiny_checkpoint)
    spans = [*result["entities"], *result["summary"], *result["answers"]["Who met her?"], *result["matches"]["cities"]]
    spans += [relation[end] for relation in result["relations"] for end in ("head", "tail")]
    assert spans
    for span in spans:
        assert TEXT[span["start"] : span["end"]] == span["text"]


def test_the_table_has_a_section_for_everything_asked(tiny_checkpoint):
    result = run(TEXT, *ENTITIES, "-r", "met", "-s", "-q", "Who met her?", "-p", "cities", "--model", tiny_checkpoint)
    assert result.exit_code == 0, result.output
    for title in ("Entity", "Relations", "Summary", "Who met her?", "cities"):
        assert title in result.stdout


def test_a_question_without_answers_is_shown_with_none(capsys):
    register_extensions()
    doc = spacy.blank("en")("Nothing.")
    doc._.gliner_answers = {"Who?": []}
    print_results(doc)
    assert capsys.readouterr().out.split() == ["Who?", "–"]


def test_a_relation_may_name_the_entities_at_its_ends(tiny_checkpoint):
    assert parse_relation("founded by") == "founded by"
    assert parse_relation("company > founded by > person") == {
        "name": "founded by",
        "head": ["company"],
        "tail": ["person"],
    }
    assert parse_relation("company > founded by >") == {"name": "founded by", "head": ["company"]}
    result = run(TEXT, *ENTITIES, "-r", "person > met", "--model", tiny_checkpoint)
    assert result.exit_code == 1
    assert "'company > founded by > person', got 'person > met'" in " ".join(result.output.split())
    relations = found(*ENTITIES, "-r", "person > met > city", model=tiny_checkpoint)["relations"]
    assert all((r["head"]["label"], r["tail"]["label"]) == ("person", "city") for r in relations)


def test_relations_without_entities_say_what_is_missing(tiny_checkpoint):
    result = run(TEXT, "-r", "met", "--model", tiny_checkpoint)
    assert result.exit_code == 1
    assert "--labels" in result.output


def test_a_saved_pipeline_runs_as_it_is_or_does_only_what_is_asked(tiny_checkpoint, tmp_path):
    nlp = spacy.blank("en")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_qa", config={"questions": ["Who?"], "model": {"source": source}})
    nlp.to_disk(tmp_path / "pipeline")
    assert set(found(model=tmp_path / "pipeline")["answers"]) == {"Who?"}
    other = found("-p", "cities", model=tmp_path / "pipeline")
    assert "answers" not in other and set(other["matches"]) == {"cities"}


def test_relations_alone_stand_between_the_entities_that_a_saved_pipeline_finds(tiny_checkpoint):
    nlp = spacy.blank("en")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_ner", config={"labels": ["x"], "threshold": 0.0, "model": {"source": source}})
    wanted = Wanted(relations=["met"])
    with only_wanted(nlp, wanted):
        doc = nlp(wanted.ask(nlp.make_doc(TEXT)))
        assert nlp.pipe_names == ["gliner_ner", "gliner_relations"]
    assert doc.ents
    assert {ent.label_ for ent in doc.ents} == {"x"}


def test_entities_are_found_before_the_relations_of_a_saved_pipeline(tiny_checkpoint):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_relations", config={"model": {"source": {"name": str(tiny_checkpoint)}}})
    with only_wanted(nlp, Wanted(labels=["person"], relations=["met"])):
        assert nlp.pipe_names == ["gliner_ner", "gliner_relations"]


@pytest.mark.parametrize("summary", [False, True])
def test_a_summary_brings_sentence_boundaries_where_there_are_none(tiny_checkpoint, summary):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": ["x"], "model": {"source": {"name": str(tiny_checkpoint)}}})
    wanted = Wanted(labels=["person"], summary=summary)
    with only_wanted(nlp, wanted):
        doc = nlp(wanted.ask(nlp.make_doc(TEXT)))
    assert doc.has_annotation("SENT_START") == summary
