"""`spacy gliner evaluate`: from files of each kind to tables of scores and baselines."""

import json

import pytest
import spacy
from typer.testing import CliRunner

from spacy_gliner.cli import app
from spacy_gliner.evaluation import BATCH_SIZE, benchmark, only_task, ready, spread
from spacy_gliner.evaluation_tasks import evaluate, kind_of
from spacy_gliner.pipeline.relation_types import SEPARATOR
from spacy_gliner.types import ScoredSpan

FOUNDED = {
    "tokens": ["Bill", "Gates", "and", "Allen", "founded", "Microsoft", "."],
    "head": {"start": 5, "end": 5},
    "tail": {"start": 0, "end": 1},
    "relation": "founded by",
}
MET = {
    "tokens": ["Ada", "met", "Babbage", "in", "London"],
    "head": {"start": 0, "end": 0},
    "tail": {"start": 2, "end": 2},
    "relation": "met",
}
FACTS = {
    "tokens": ["Gates", "founded", "Microsoft", ".", "Bill", "Gates", "met", "Allen", "."],
    "spans": [[0, 0, "person"], [2, 2, "company"], [4, 5, "person"], [7, 7, "person"]],
    "relations": [
        {"head": {"start": 2, "end": 2}, "tail": {"start": 0, "end": 0}, "relation": "founded by"},
        {"head": {"start": 4, "end": 5}, "tail": {"start": 7, "end": 7}, "relation": "met"},
    ],
}
CONTEXT = "Ada Lovelace met Charles Babbage in London. It cost $12 in 1833."
ARTICLE = {
    "title": "Ada",
    "paragraphs": [
        {
            "context": CONTEXT,
            "qas": [
                {"question": "Who met Babbage?", "answers": [{"text": "Ada Lovelace", "answer_start": 0}]},
                {"question": "What did it cost?", "answers": [{"text": "12", "answer_start": CONTEXT.index("12")}]},
                {"question": "Who met Boole?", "answers": [], "is_impossible": True},
            ],
        },
        {"context": "She was born in London.", "qas": [{"question": "When was she born?", "answers": []}]},
    ],
}
NEWS = {"text": "Ada wrote. Bill sold. It rained. Nobody saw that.", "summary": "nobody saw that"}
ENTITIES = {"tokens": ["Ada", "met", "Bill", "Gates"], "spans": [[0, 0, "person"], [2, 3, "person"], [1, 1, "else"]]}


@pytest.fixture
def nlp(make_nlp):
    """A pipeline with a tiny random network."""
    return make_nlp(labels=[])


def answering(nlp, factory, answers):
    """Let the component of a factory find spans, [(start, end, label, score), …] by the first word of a Doc.

    RETURNS: A list that will hold the Docs it was asked.
    """
    pipe = ready(nlp, factory)
    asked = []

    def predict(docs):
        asked.extend(docs)
        found = [[ScoredSpan(*span) for span in answers.get(doc[0].text, ())] for doc in docs]
        return [[span for span in spans if span.score > pipe.cfg["threshold"]] for spans in found]

    pipe.predict = predict
    return asked


def measured(nlp, path, **settings):
    ((_, evaluation),) = evaluate(nlp, [path], **settings)
    return evaluation


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def relation(name, head):
    return name + SEPARATOR + head


@pytest.mark.parametrize(
    "row, kind",
    [
        (ARTICLE, "questions"),
        (NEWS, "summaries"),
        ({"text": "A.", "summaries": ["A."], "sentences": ["A."], "labels": [1]}, "summaries"),
        (FACTS, "facts"),
        (FOUNDED, "tails"),
        ({**FOUNDED, "spans": []}, "tails"),
        (ENTITIES, "entities"),
        ({"tokenized_text": ["Ada"], "ner": []}, "entities"),
    ],
)
def test_what_a_file_holds_is_seen_from_its_first_row(write, row, kind):
    assert kind_of(write("rows", row)) == kind


@pytest.mark.parametrize("row", [{"tokens": ["a"], "tuples": []}, [1], "text", {"text": "no summary"}])
def test_any_other_file_is_an_error_that_names_it_before_anything_is_asked(nlp, write, row):
    bad = write("strange", row)
    with pytest.raises(ValueError, match=r"strange\.jsonl can't be evaluated.*'paragraphs'"):
        next(evaluate(nlp, [write("news", NEWS), bad]))
    with pytest.raises(ValueError, match=r"empty\.jsonl can't be evaluated"):
        kind_of(write("empty"))


def test_two_files_of_one_name_are_an_error(nlp, write, tmp_path):
    (tmp_path / "other").mkdir()
    path = write("news", NEWS)
    other = tmp_path / "other" / "news.jsonl"
    other.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="Two files are named news"):
        next(evaluate(nlp, [path, other]))


def test_best_answers_are_compared_with_the_text_in_the_file(nlp, write):
    found = [
        (0, 2, "Who met Babbage?", 0.8),
        (3, 5, "Who met Babbage?", 0.6),
        (11, 12, "What did it cost?", 0.9),
        (6, 7, "Who met Boole?", 0.7),
    ]
    asked = answering(nlp, "gliner_qa", {"Ada": found})
    evaluation = measured(nlp, write("squad", {"paragraphs": ARTICLE["paragraphs"][:1]}))
    assert [doc.text for doc in asked] == [CONTEXT]
    assert asked[0]._.gliner_questions == ["Who met Babbage?", "What did it cost?", "Who met Boole?"]
    assert evaluation.counts == {"paragraphs": 1, "questions": 3}
    assert evaluation.scores["answers_em"] == pytest.approx(2 / 3)
    assert (evaluation.scores["answers_has_ans_f"], evaluation.scores["answers_no_ans_f"]) == (1, 0)
    never = evaluation.baselines["no answer"]
    assert (never["answers_has_ans_f"], never["answers_no_ans_f"]) == (0, 1)
    assert never["answers_f"] == evaluation.scores["answers_no_answer_baseline_f"] == pytest.approx(1 / 3)


def test_a_gold_answer_inside_a_token_is_not_widened(nlp, write):
    qas = [{"question": "When?", "answers": [{"text": "183", "answer_start": CONTEXT.index("1833")}]}]
    answering(nlp, "gliner_qa", {"Ada": [(13, 14, "When?", 0.9)]})
    evaluation = measured(nlp, write("squad", {"paragraphs": [{"context": CONTEXT, "qas": qas}]}))
    assert evaluation.scores["answers_em"] == 0


def test_a_question_that_a_paragraph_holds_twice_counts_twice(nlp, write):
    qas = [
        {"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"question": "Who?", "answers": [{"text": "Charles Babbage", "answer_start": 17}]},
    ]
    answering(nlp, "gliner_qa", {"Ada": [(0, 1, "Who?", 0.9)]})
    evaluation = measured(nlp, write("squad", {"paragraphs": [{"context": CONTEXT, "qas": qas}]}))
    assert (evaluation.counts["questions"], evaluation.scores["answers_em"]) == (2, 1 / 2)


def test_with_one_fact_a_row_its_head_and_relation_alone_are_asked(nlp, write):
    asked = answering(nlp, "gliner_relations", {})
    answering(nlp, "gliner_ner", {})
    measured(nlp, write("fewrel", FOUNDED, MET))
    assert [[ent.text for ent in doc.ents] for doc in asked] == [["Microsoft"], ["Ada"]]
    assert [doc._.gliner_relation_labels for doc in asked] == [["founded by"], ["met"]]


def test_the_best_tail_is_compared_and_none_is_wrong(nlp, write):
    by = relation("founded by", "Microsoft")
    answering(nlp, "gliner_relations", {"Bill": [(0, 2, by, 0.7), (3, 4, by, 0.6)]})
    answering(nlp, "gliner_ner", {})
    evaluation = measured(nlp, write("fewrel", FOUNDED, MET))
    assert (evaluation.counts, evaluation.scores) == ({"facts": 2}, {"em": 1 / 2, "f1": 1 / 2})
    answering(nlp, "gliner_relations", {"Bill": [(1, 2, by, 0.6), (3, 4, by, 0.55)]})
    assert measured(nlp, write("fewrel", FOUNDED, MET)).scores == pytest.approx({"em": 0, "f1": 1 / 3})


def test_the_nearest_entity_is_found_by_the_same_network(nlp, write):
    answering(nlp, "gliner_relations", {})
    found = {"Bill": [(0, 2, "person", 0.9), (3, 4, "person", 0.35)], "Ada": [(2, 3, "person", 0.31)]}
    asked = answering(nlp, "gliner_ner", found)
    evaluation = measured(nlp, write("fewrel", FOUNDED, MET), threshold=0.9)
    assert evaluation.baselines["nearest entity"] == {"em": 1 / 2, "f1": 1 / 2}  # "Allen", and "Babbage"
    assert all({"person", "work of art"} <= set(doc._.gliner_labels) for doc in asked)
    assert ready(nlp, "gliner_ner").cfg["threshold"] == 0.5


def test_entities_that_a_row_gives_are_those_of_the_baseline(nlp, write):
    answering(nlp, "gliner_relations", {})
    asked = answering(nlp, "gliner_ner", {})
    row = {**FOUNDED, "spans": [[0, 1, "person"], [5, 5, "company"]]}
    evaluation = measured(nlp, write("fewrel", row))
    assert (evaluation.baselines["nearest entity"]["em"], asked) == (1, [])


def test_with_several_facts_a_row_all_relations_of_its_source_are_asked_of_all_entities(nlp, write):
    other = {"tokens": ["Ada", "died"], "spans": [], "relations": [], "source": "other"}
    asked = answering(nlp, "gliner_relations", {"Gates": [(0, 1, relation("founded by", "Microsoft"), 0.9)]})
    evaluation = measured(nlp, write("facts", FACTS, other))
    assert [doc._.gliner_relation_labels for doc in asked] == [["founded by", "met"], []]
    assert [ent.text for ent in asked[0].ents] == ["Gates", "Microsoft", "Bill Gates", "Allen"]
    assert evaluation.counts == {"texts": 2, "facts": 2}
    assert (evaluation.scores["rel_micro_p"], evaluation.scores["rel_micro_r"]) == (1, 1 / 2)
    assert evaluation.scores["rel_macro_f"] == 1 / 2


def test_the_baseline_of_facts_knows_heads_and_relations(nlp, write):
    answering(nlp, "gliner_relations", {})
    nearest = measured(nlp, write("facts", FACTS)).baselines["nearest entity"]
    assert {name: score["f"] for name, score in nearest["rel_per_type"].items()} == {"founded by": 1, "met": 0}
    assert (nearest["rel_micro_p"], nearest["rel_micro_r"]) == (1 / 2, 1 / 2)


def test_any_mention_of_head_and_tail_says_the_fact_and_says_it_once(nlp, write):
    mentions = {"head_mentions": [[2, 2]], "tail_mentions": [[0, 0], [4, 5]]}
    row = {**FACTS, "relations": [FACTS["relations"][0] | mentions]}
    founded = relation("founded by", "Microsoft")
    for answers in ([(4, 6, founded, 0.9)], [(4, 6, founded, 0.9), (0, 1, founded, 0.8)]):
        answering(nlp, "gliner_relations", {"Gates": answers})
        evaluation = measured(nlp, write("facts", row))
        assert evaluation.counts["facts"] == 1
        assert (evaluation.scores["rel_micro_p"], evaluation.scores["rel_micro_r"]) == (1, 1)


def test_summaries_are_compared_beside_the_first_three_sentences(nlp, write):
    pytest.importorskip("rouge_score")
    answering(nlp, "gliner_summarizer", {"Ada": [(9, 13, "summary", 0.2)]})
    evaluation = measured(nlp, write("news", NEWS))
    assert evaluation.counts == {"texts": 1}
    assert (evaluation.scores["summary_rouge2"], evaluation.scores["summary_rouge2_std"]) == (1, 0)
    assert evaluation.baselines["lead-3"]["summary_rouge1"] == 0


def test_entities_are_measured_as_in_the_benchmark(nlp, write):
    answering(nlp, "gliner_ner", {"Ada": [(0, 1, "person", 0.9), (3, 4, "person", 0.8)]})
    path = write("entities", ENTITIES)
    score = benchmark(nlp, [path])["entities"]
    evaluation = measured(nlp, path)
    assert (
        evaluation.scores == {"p": score.precision, "r": score.recall, "f": score.f1} == {"p": 0.5, "r": 0.5, "f": 0.5}
    )


def test_a_threshold_holds_for_the_evaluation_alone(nlp, write):
    answering(nlp, "gliner_qa", {"Ada": [(0, 2, "Who met Babbage?", 0.6)]})
    path = write("squad", ARTICLE)
    assert measured(nlp, path).scores["answers_has_ans_f"] == 1 / 2
    assert measured(nlp, path, threshold=0.7).scores["answers_has_ans_f"] == 0
    assert ready(nlp, "gliner_qa").cfg["threshold"] == 0.5


def test_a_limit_takes_texts_from_all_over_a_file_and_asks_them_the_same(nlp, write):
    asked = answering(nlp, "gliner_relations", {})
    measured(nlp, write("facts", FACTS, *[{**FACTS, "relations": []}] * 3), limit=2)
    assert [doc._.gliner_relation_labels for doc in asked] == [["founded by", "met"]] * 2
    asked = answering(nlp, "gliner_qa", {})
    assert measured(nlp, write("squad", ARTICLE), limit=1).counts == {"paragraphs": 1, "questions": 3}
    assert spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert spread([1, 2], 3) == spread([1, 2], 0) == [1, 2]


def test_texts_are_asked_in_batches(nlp, write):
    sizes = []
    ready(nlp, "gliner_relations").predict = lambda docs: [sizes.append(len(docs))] and [[] for _ in docs]
    measured(nlp, write("facts", *[FACTS] * (BATCH_SIZE + 1)))
    assert sizes == [BATCH_SIZE, 1]


def test_a_missing_component_borrows_the_network(nlp):
    pipe = ready(nlp, "gliner_qa")
    assert pipe is ready(nlp, "gliner_qa")
    assert nlp.config["components"]["gliner_qa"]["model"]["source"]["component"] == "gliner_ner"
    with pytest.raises(ValueError, match="no component of spacy-gliner"):
        ready(spacy.blank("en"), "gliner_qa")


def test_other_tasks_and_components_that_set_entities_do_not_run(nlp):
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("entity_ruler")
    for factory in ("gliner_qa", "gliner_relations"):
        ready(nlp, factory)
    with only_task(nlp, "gliner_relations"):
        assert nlp.pipe_names == ["sentencizer", "gliner_relations"]
    with only_task(nlp, "gliner_ner"):
        assert nlp.pipe_names == ["gliner_ner", "sentencizer", "entity_ruler"]
    assert len(nlp.pipe_names) == 5


def test_files_of_every_kind_give_a_table_each_and_json(any_checkpoint, write, tmp_path):
    pytest.importorskip("rouge_score")
    rows = {"a_facts": FACTS, "b_squad": ARTICLE, "c_fewrel": FOUNDED, "d_news": NEWS, "e_entities": ENTITIES}
    for name, row in rows.items():
        write(name, row, row)
    output = tmp_path / "scores" / "all.json"
    result = run(any_checkpoint, tmp_path, "--threshold", 0.01, "--json", output)
    assert result.exit_code == 0, result.output
    tables = [table.splitlines() for table in result.stdout.strip().split("\n\n")]
    assert [table[0] for table in tables] == [
        "a_facts (2 texts, 4 facts)",
        "b_squad (4 paragraphs, 8 questions)",
        "c_fewrel (2 facts)",
        "d_news (2 texts)",
        "e_entities (2 sentences, 4 entities)",
    ]
    systems = [[line.split("  ")[0] for line in table[2:]] for table in tables]
    assert systems == [
        ["model", "nearest entity"],
        ["model", "no answer"],
        ["model", "nearest entity"],
        ["model", "lead-3"],
        ["model"],
    ]
    assert tables[1][1].split("  ")[-1] == "unanswerable F1"
    report = json.loads(output.read_text(encoding="utf8"))
    assert set(report["files"]) == set(rows)
    news = report["files"]["d_news"]
    assert (news["kind"], news["counts"]) == ("summaries", {"texts": 2})
    assert f"{100 * news['baselines']['lead-3']['summary_rouge1']:.1f} ± 0.0" in result.stdout


def test_scores_that_do_not_exist_are_shown_as_a_dash(tiny_checkpoint, write):
    result = run(tiny_checkpoint, write("squad", {"paragraphs": ARTICLE["paragraphs"][1:]}))
    assert result.stdout.splitlines()[2].split()[-3:-1] == ["-", "-"]


def test_a_saved_pipeline_is_evaluated_with_its_own_component(tiny_checkpoint, write, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    source = {"name": str(tiny_checkpoint)}
    nlp.add_pipe("gliner_qa", name="asked", config={"threshold": 0.999999, "model": {"source": source}})
    nlp.to_disk(tmp_path / "model")
    result = run(tmp_path / "model", write("squad", ARTICLE), write("facts", FACTS))
    assert result.exit_code == 0, result.output
    model, baseline = (line.split()[-5:] for line in result.stdout.splitlines()[2:4])
    assert model == baseline  # nothing scores that high


def test_errors_are_one_line(tiny_checkpoint, write, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "model")
    news = write("news", {**NEWS, "text": 1})
    for arguments, message in [
        ((tiny_checkpoint, write("strange", {"words": []})), "strange.jsonl can't be evaluated"),
        ((tiny_checkpoint, tmp_path / "nowhere"), "No data at"),
        ((tiny_checkpoint, news), "news.jsonl, line 1"),
        ((tmp_path / "model", write("squad", ARTICLE)), "no component of spacy-gliner"),
    ]:
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ") and message in line


def test_a_folder_is_evaluated_but_for_files_of_other_kinds_which_are_named(tiny_checkpoint, tmp_path):
    (tmp_path / "sum_one.jsonl").write_text(json.dumps({"text": "Bill met Ada.", "summary": "Bill met Ada."}) + "\n")
    (tmp_path / "oie.jsonl").write_text(json.dumps({"tokens": ["a"], "tuples": []}) + "\n")
    result = CliRunner().invoke(app, ["evaluate", str(tiny_checkpoint), str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "sum_one" in result.output
    assert "Passed over" in result.output and "oie.jsonl" in result.output
