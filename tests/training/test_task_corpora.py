"""Reading relations, questions, summaries and prompts; and several corpora as one."""

from collections import Counter
from itertools import islice

import pytest
import spacy
from spacy.util import registry
from thinc.api import Config

from spacy_gliner.pipeline.results import GOLD_SUMMARY
from spacy_gliner.training.corpora import JsonCorpus
from spacy_gliner.training.mixing import MixedCorpus
from spacy_gliner.training.prompt_corpus import PromptCorpus
from spacy_gliner.training.task_corpora import QuestionCorpus, RelationCorpus, SummaryCorpus

NLP = spacy.blank("en")

ADA = "Ada was born in London and taught by Augustus in London".split()
FACTS = {
    "tokens": ADA,
    "spans": [[0, 0, "person"], [4, 4, "city"], [8, 8, "person"]],
    "relations": [
        {
            "head": {"start": 0, "end": 0, "text": "Ada"},
            "tail": {"start": 4, "end": 4, "text": "London"},
            "relation": "place of birth",
            "tail_mentions": [[4, 4], [10, 10]],
        },
        {
            "head": {"start": 0, "end": 0, "text": "Ada"},
            "tail": {"start": 8, "end": 8, "text": "Augustus"},
            "relation": "student of",
        },
    ],
}
FACT = {
    "tokens": ["Ada", "met", "Bill"],
    "head": {"start": 2, "end": 2, "text": "Bill"},
    "tail": {"start": 0, "end": 0, "text": "Ada"},
    "relation": "met",
}
ARTICLE = {
    "paragraphs": [
        {
            "context": "Ada was born in London. She liked numbers.",
            "qas": [
                {
                    "question": "Where was Ada born?",
                    "answers": [
                        {"text": "London", "answer_start": 16},
                        {"text": "in London", "answer_start": 13},
                        {"text": "London", "answer_start": 16},
                    ],
                },
                {"question": "Who met her?", "is_impossible": True, "answers": []},
            ],
        },
        {
            "context": "Bill was born in Seattle.",
            "qas": [{"question": "Where was Bill born?", "answers": [{"text": "Seattle", "answer_start": 17}]}],
        },
    ]
}
PAPER = {
    "text": "Numbers are fine. We show that they add up. Code is there.",
    "sentences": ["Numbers are fine.", "We show that they add up.", "Code is there."],
    "labels": [0, 1, 0],
    "summary": "Numbers add up.",
}


def facts(example):
    return [(r.head.text, r.label, r.tail.text, r.tail.start) for r in example.reference._.gliner_relations]


# -- relations


def test_facts_become_relations_between_entities_that_are_given(write):
    (example,) = RelationCorpus(write("facts", FACTS))(NLP)
    assert facts(example) == [
        ("Ada", "place of birth", "London", 4),
        ("Ada", "student of", "Augustus", 8),
        ("Ada", "place of birth", "London", 10),
    ]
    assert {(ent.text, ent.label_) for ent in example.predicted.ents} >= {("Ada", "person"), ("Augustus", "person")}
    assert not example.predicted.spans
    assert not example.reference.ents  # this corpus teaches relations, not entities
    assert example.predicted._.gliner_relation_labels == ["place of birth", "student of"]


def test_a_row_may_have_one_fact_whose_ends_become_entities(write):
    (example,) = RelationCorpus(write("one", FACT))(NLP)
    assert facts(example) == [("Bill", "met", "Ada", 0)]
    assert [ent.text for ent in example.predicted.ents] == ["Ada", "Bill"]


def test_relations_to_ask_for_are_those_of_the_source_or_of_the_row(write):
    rows = [
        {**FACT, "source": "a"},
        {**FACT, "relation": "knows", "source": "a"},
        {**FACT, "relation": "likes", "source": "b"},
        {**FACT, "relation": "likes", "source": "b", "relation_labels": ["likes", "owns"]},
    ]
    asked = [e.predicted._.gliner_relation_labels for e in RelationCorpus(write("rows", *rows))(NLP)]
    assert asked == [["met", "knows"], ["met", "knows"], ["likes"], ["likes", "owns"]]


@pytest.mark.parametrize(
    "bad, why",
    [
        ({**FACT, "relation": " "}, "needs a name"),
        ({**FACT, "tail": {"start": 3, "end": 3}}, "outside the row's 3 tokens"),
        ({**FACT, "head": {"start": 1, "end": 0}}, "outside the row's 3 tokens"),
        ({"tokens": ["a"]}, "relations"),
    ],
)
def test_a_bad_fact_is_an_error_that_names_its_line(write, bad, why):
    with pytest.raises(ValueError, match=rf"line 2: .*{why}"):
        list(RelationCorpus(write("bad", FACT, bad))(NLP))


# -- questions


def test_an_example_asks_all_questions_of_a_paragraph(write):
    first, second = QuestionCorpus(write("qa", ARTICLE))(NLP)
    assert first.predicted._.gliner_questions == ["Where was Ada born?", "Who met her?"]
    answers = first.reference._.gliner_answers
    assert sorted(a.span.text for a in answers["Where was Ada born?"]) == ["London", "in London"]
    assert answers["Who met her?"] == []
    assert [a.span.text for a in second.reference._.gliner_answers["Where was Bill born?"]] == ["Seattle"]


def test_the_answer_given_most_often_can_be_the_only_one(write):
    example, _ = QuestionCorpus(write("qa", ARTICLE), alternatives=False)(NLP)
    assert [a.span.text for a in example.reference._.gliner_answers["Where was Ada born?"]] == ["London"]


def test_one_question_an_example(write):
    examples = list(QuestionCorpus(write("qa", ARTICLE), per_question=True)(NLP))
    assert [example.predicted._.gliner_questions for example in examples] == [
        ["Where was Ada born?"],
        ["Who met her?"],
        ["Where was Bill born?"],
    ]


def test_unanswerable_questions_are_asked_of_another_paragraph(write):
    asked = QuestionCorpus(write("qa", ARTICLE), per_question=True, unanswerable=1.0)(NLP)
    texts = {e.predicted._.gliner_questions[0]: (e.predicted.text, e.reference._.gliner_answers) for e in asked}
    assert texts["Where was Ada born?"] == ("Bill was born in Seattle.", {"Where was Ada born?": []})
    assert texts["Where was Bill born?"][0].startswith("Ada was born")


def test_a_paragraph_that_holds_the_answer_makes_no_question_unanswerable(write):
    other = {"context": "london is large.", "qas": []}
    article = {"paragraphs": [ARTICLE["paragraphs"][0], other]}
    example, _ = QuestionCorpus(write("qa", article), per_question=True, unanswerable=1.0)(NLP)
    assert [a.span.text for a in example.reference._.gliner_answers["Where was Ada born?"]]


def test_the_share_of_unanswerable_questions(write):
    corpus = QuestionCorpus(write("qa", *[ARTICLE] * 200), per_question=True, unanswerable=0.35)
    empty = Counter(not e.reference._.gliner_answers["Where was Bill born?"] for e in corpus(NLP) if "Bill" in asked(e))
    assert 0.25 < empty[True] / empty.total() < 0.45


def asked(example):
    return example.predicted._.gliner_questions[0]


def test_bad_questions_are_errors(write):
    wrong = {
        "paragraphs": [{"context": "a b", "qas": [{"question": "?", "answers": [{"text": "b", "answer_start": 0}]}]}]
    }
    with pytest.raises(ValueError, match="line 1: the answer 'b' does not stand at 0"):
        list(QuestionCorpus(write("wrong", wrong))(NLP))
    with pytest.raises(ValueError, match="unanswerable is a share from 0 to 1, got 2"):
        QuestionCorpus(write("qa", ARTICLE), unanswerable=2)


# -- summaries


def test_a_summary_is_its_sentences_and_its_words(write):
    (example,) = SummaryCorpus(write("papers", PAPER))(NLP)
    assert [span.text for span in example.reference._.gliner_summary] == ["We show that they add up."]
    assert example.reference.user_data[GOLD_SUMMARY] == "Numbers add up."
    assert GOLD_SUMMARY not in example.predicted.user_data


def test_a_text_without_labelled_sentences_is_for_scoring_only(write):
    (example,) = SummaryCorpus(write("news", {"text": "It is so.", "summaries": ["So.", "It is."]}))(NLP)
    assert not example.reference.spans
    assert example.reference.user_data[GOLD_SUMMARY] == ["So.", "It is."]


def test_sentences_must_stand_in_their_text(write):
    with pytest.raises(ValueError, match="'Never said.' is not in its text"):
        list(SummaryCorpus(write("bad", {**PAPER, "sentences": ["Never said."] * 3}))(NLP))
    with pytest.raises(ValueError, match="line 1: .*as many labels as sentences"):
        list(SummaryCorpus(write("worse", {**PAPER, "labels": [1]}))(NLP))


# -- prompts


def test_prompts_ask_for_a_label_or_for_the_tails_of_a_head(write):
    entities = {"tokens": ["Ada", "met", "Bill"], "spans": [[0, 0, "person"], [2, 2, "person"]]}
    corpus = PromptCorpus(write("rows", entities, FACTS), absent=0.0)
    of_entities, of_facts = corpus(NLP)
    (prompt,) = of_entities.predicted._.gliner_prompts
    assert "person" in prompt
    assert [match.span.text for match in of_entities.reference._.gliner_matches[prompt]] == ["Ada", "Bill"]
    (prompt,) = of_facts.predicted._.gliner_prompts
    assert "Ada" in prompt and ("place of birth" in prompt or "student" in prompt)
    (match,) = of_facts.reference._.gliner_matches[prompt]
    assert match.span.text == ("London" if "place of birth" in prompt else "Augustus")


def test_prompts_may_ask_for_what_is_not_there(write):
    rows = [{"tokens": ["Ada"], "spans": [[0, 0, "person"]]}, {"tokens": ["it"], "spans": [], "negatives": ["city"]}]
    examples = list(PromptCorpus(write("rows", *rows), absent=1.0)(NLP))
    for example in examples:
        (prompt,) = example.predicted._.gliner_prompts
        assert example.reference._.gliner_matches == {prompt: []}
    assert "city" in examples[0].predicted._.gliner_prompts[0]


def test_prompts_are_made_of_rows_with_one_fact_and_of_all_mentions(write):
    of_one, of_several = PromptCorpus(write("rows", FACT, {**FACTS, "relations": FACTS["relations"][:1]}), absent=0.0)(
        NLP
    )
    (matches,) = of_one.reference._.gliner_matches.values()
    assert [match.span.text for match in matches] == ["Ada"]
    (matches,) = of_several.reference._.gliner_matches.values()
    assert [match.span.start for match in matches] == [4, 10]


def test_rows_of_which_no_prompt_can_be_made_are_an_error(write):
    path = write("empty", {"tokens": ["it"], "spans": []})
    with pytest.raises(ValueError, match="No prompts can be made from .*: its rows have no entities and no relations"):
        next(iter(PromptCorpus(path, weights={"empty": 1.0})(NLP)))


# -- mixing


def test_corpora_are_mixed_by_weights_without_end(write):
    corpus = MixedCorpus(
        {"relations": RelationCorpus(write("rel", FACT)), "questions": QuestionCorpus(write("qa", ARTICLE))},
        {"relations": 3.0, "questions": 1.0},
    )
    drawn = list(islice(corpus(NLP), 400))
    share = sum(bool(example.predicted._.gliner_relation_labels) for example in drawn) / len(drawn)
    assert 0.68 < share < 0.82
    assert [e.predicted.text for e in drawn[:50]] == [e.predicted.text for e in islice(corpus(NLP), 50)]


def test_an_example_asks_only_what_its_corpus_asks(write):
    corpora = {"relations": RelationCorpus(write("rel", FACT)), "entities": JsonCorpus(write("ner", FACTS))}
    for example in MixedCorpus(corpora, n_examples=20)(NLP):
        asked = {
            name: example.predicted._.get(name)
            for name in ("gliner_labels", "gliner_relation_labels", "gliner_questions", "gliner_prompts")
        }
        assert all(value is not None for value in asked.values())
        assert [name for name, value in asked.items() if value] in (["gliner_labels"], ["gliner_relation_labels"])


def test_mixtures_that_make_no_sense_are_errors(write):
    relations = RelationCorpus(write("rel", FACT))
    with pytest.raises(ValueError, match=r"corpora \['a'\] and weights for \['b'\]"):
        MixedCorpus({"a": relations}, {"b": 1.0})
    with pytest.raises(ValueError, match="needs a weight for each corpus"):
        MixedCorpus({})
    with pytest.raises(ValueError, match="The corpus 'empty' has no Examples"):
        list(MixedCorpus({"empty": lambda nlp: []}, n_examples=1)(NLP))


def test_a_config_mixes_corpora(write):
    config = Config().from_str(
        f"""
        [corpus]
        @readers = "spacy_gliner.MixedCorpus.v1"
        n_examples = 3

        [corpus.corpora]

        [corpus.corpora.relations]
        @readers = "spacy_gliner.RelationCorpus.v1"
        path = "{write("rel", FACT)}"

        [corpus.corpora.prompts]
        @readers = "spacy_gliner.PromptCorpus.v1"
        path = "{write("facts", FACTS)}"
        """
    )
    corpus = registry.resolve(config)["corpus"]
    assert len(list(corpus(NLP))) == 3
