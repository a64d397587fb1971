"""Questions: several of a Doc, answers best first, never from the question; gold answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.pipeline.prompts import ANSWER
from spacy_gliner.pipeline.qa import Questions
from spacy_gliner.types import Query, ScoredSpan

from .components import QA, bounds
from .helpers import stub_network

TEXT = "Bill Gates founded Microsoft in Seattle with Steve Jobs ."
WHO, WHERE = "Who founded Microsoft?", "where is it"


@pytest.fixture
def make_nlp(tiny_checkpoint):
    """A function that makes a pipeline of `gliner_qa` whose network answers what a test says, by question."""

    def make(answers=None, **config):
        nlp = QA.nlp(tiny_checkpoint, **{"questions": [WHO, WHERE], **config})
        if answers is not None:
            spans = {q: [ScoredSpan(*span[:2], q, span[2]) for span in found] for q, found in answers.items()}
            nlp.seen = stub_network(nlp, lambda query: spans.get(query.labels[0], []), name="gliner_qa")
        return nlp

    return make


def texts(doc):
    return {question: [answer.span.text for answer in answers] for question, answers in doc._.gliner_answers.items()}


def make_doc(nlp, text=TEXT):
    return Doc(nlp.vocab, words=text.split())


def test_a_question_is_read_before_the_text_with_the_label_answer(make_nlp):
    nlp = make_nlp({})
    nlp(make_doc(nlp))
    assert sorted(nlp.seen, key=lambda query: query.labels, reverse=True) == [
        Query(tuple(TEXT.split()), (WHERE,), (ANSWER,), ("where", "is", "it")),
        Query(tuple(TEXT.split()), (WHO,), (ANSWER,), ("Who", "founded", "Microsoft", "?")),
    ]


def test_every_question_has_its_own_answers_best_first(make_nlp):
    nlp = make_nlp({WHO: [(0, 2, 0.7), (7, 9, 0.8)], WHERE: [(5, 6, 0.9)]})
    doc = nlp(make_doc(nlp))
    assert texts(doc) == {WHO: ["Steve Jobs", "Bill Gates"], WHERE: ["Seattle"]}
    assert list(doc._.gliner_answers) == [WHO, WHERE]
    assert [answer.score for answer in doc._.gliner_answers[WHO]] == pytest.approx([0.8, 0.7])
    group = doc.spans["gliner_answers"]
    assert bounds(group) == [(0, 2, ANSWER), (5, 6, ANSWER), (7, 9, ANSWER)]
    assert group.attrs["questions"] == [WHO, WHERE, WHO]
    assert group.attrs["asked"] == [WHO, WHERE]


def test_no_answer_is_an_empty_list(make_nlp):
    nlp = make_nlp({WHERE: [(5, 6, 0.9)], WHO: [(0, 2, 0.4)]})
    assert texts(nlp(make_doc(nlp))) == {WHO: [], WHERE: ["Seattle"]}


def test_answers_to_one_question_do_not_overlap_and_those_to_two_may(make_nlp):
    nlp = make_nlp({WHO: [(0, 2, 0.7), (0, 1, 0.8), (1, 3, 0.6)], WHERE: [(0, 2, 0.6)]})
    assert texts(nlp(make_doc(nlp))) == {WHO: ["Bill", "Gates founded"], WHERE: ["Bill Gates"]}


def test_a_question_that_is_repeated_is_asked_once(make_nlp):
    nlp = make_nlp({WHO: [(0, 2, 0.7)]}, questions=[WHO, WHERE, WHO])
    assert texts(nlp(make_doc(nlp))) == {WHO: ["Bill Gates"], WHERE: []}
    assert len(nlp.seen) == 2
    doc = make_doc(nlp)
    doc._.gliner_questions = [WHO, WHO]
    assert texts(nlp(doc)) == {WHO: ["Bill Gates"]}


def test_questions_that_differ_in_spaces_are_two_that_read_the_same(make_nlp):
    other = WHO.replace(" ", "  ")
    nlp = make_nlp({WHO: [(0, 2, 0.7)], other: [(7, 9, 0.7)]}, questions=[WHO, other])
    assert texts(nlp(make_doc(nlp))) == {WHO: ["Bill Gates"], other: ["Steve Jobs"]}


@pytest.mark.parametrize("any_question", ["founded", "Bill Gates founded Microsoft in Seattle with Steve Jobs .", "?"])
def test_answers_are_never_taken_from_the_question(any_checkpoint, any_question):
    """Of a network that takes everything, too: scores of the words are the text's, however long the question is."""
    nlp = QA.nlp(any_checkpoint, questions=[any_question], threshold=0.0)
    doc = make_doc(nlp, "Bill Gates founded it")
    pipe = nlp.get_pipe("gliner_qa")
    (found,) = pipe.predict([doc])
    assert {token for span in found for token in range(span.start, span.end)} == {0, 1, 2, 3}
    question = tuple(any_question.split())
    query = Query(tuple(token.text for token in doc), (any_question,), (ANSWER,), question)
    assert pipe.model.predict([query]).word_lengths == [4]
    (answers,) = nlp(doc)._.gliner_answers.values()
    assert all(answer.span.text in "Bill Gates founded it" for answer in answers)


def test_the_question_is_read(make_nlp):
    nlp = make_nlp(threshold=0.0, questions=["who", "where is the city"])
    scores = [[answer.score for answer in answers] for answers in nlp(make_doc(nlp))._.gliner_answers.values()]
    assert scores[0] != pytest.approx(scores[1], abs=1e-3)


def test_an_answer_that_two_windows_see_is_given_once(make_nlp):
    windows = {"@misc": "spacy_gliner.strided_windows.v1", "size": 8, "stride": 4}
    nlp = make_nlp(windows=windows, questions=[WHO])
    doc = Doc(nlp.vocab, words=["O"] * 6 + ["Ada"] + ["O"] * 20)

    def find(query):
        rows = [row for row, word in enumerate(query.words) if word == "Ada"]
        return [ScoredSpan(row, row + 1, WHO, 0.6 + 0.05 * row) for row in rows]

    stub_network(nlp, find, name="gliner_qa")
    ((answer,),) = nlp(doc)._.gliner_answers.values()
    assert answer.span.text == "Ada"
    assert answer.score == pytest.approx(0.9)


@pytest.mark.parametrize("questions", [WHO, None, {WHO: 1}, [""], [" \n"], ["\u200b" * 0], [WHO, 3], [[WHO]]])
def test_what_is_no_question_is_an_error_that_says_so(questions):
    with pytest.raises(ValueError, match="[Qq]uestion"):
        Questions("x").parse(questions)


@given(st.lists(st.sampled_from(["", " ", "\n", "\u00a0", "?", " a", "a ", "\u200b", "🙂", "who is it?"]), max_size=4))
def test_questions_with_words_are_taken_as_they_are_and_others_refused(questions):
    if all(question.strip() for question in questions):
        assert [question.name for question in Questions("x").parse(questions)] == list(dict.fromkeys(questions))
    else:
        with pytest.raises(ValueError, match="at least one word"):
            Questions("x").parse(questions)


def test_a_question_that_leaves_no_room_is_an_error_that_says_how_long_it_may_be(make_nlp):
    nlp = make_nlp({}, questions=["who was in Paris " * 20])
    with pytest.raises(ValueError, match="'who was in Paris .*…' is 8. pieces long.*may have about 56.*fewer words"):
        nlp(make_doc(nlp))
    nlp = make_nlp({}, questions=["who " * 53])
    nlp(make_doc(nlp, TEXT * 5))
    shim = shim_of(nlp.get_pipe("gliner_qa").model)
    assert max(shim.tokenizer.prompt_size(query) for query in nlp.seen) <= 64


def test_of_a_stream_only_the_doc_with_the_long_question_fails(make_nlp):
    nlp = make_nlp({WHO: [(0, 1, 0.9)]})
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend(docs))
    docs = [make_doc(nlp) for _ in range(3)]
    docs[1]._.gliner_questions = ["who was in Paris " * 20]
    assert list(nlp.pipe(docs)) == [docs[0], docs[2]]
    assert failed == [docs[1]]


def test_questions_of_a_doc_may_look_like_variables_of_a_config(make_nlp, tmp_path):
    nlp = make_nlp({"What is ${HOME} ?": [(0, 1, 0.9)]})
    doc = make_doc(nlp)
    doc._.gliner_questions = ["What is ${HOME} ?"]
    assert texts(nlp(doc)) == {"What is ${HOME} ?": ["Bill"]}


# -- gold


def example_of(nlp, answers, asked=None, text=TEXT):
    predicted, reference = make_doc(nlp, text), make_doc(nlp, text)
    reference._.gliner_answers = {q: [reference[start:end] for start, end in found] for q, found in answers.items()}
    predicted._.gliner_questions = asked
    return Example(predicted, reference)


def lessons(nlp, example):
    asked = {}
    for query, gold, *_ in nlp.get_pipe("gliner_qa").lessons([example]):
        asked[query.labels[0]] = [query.words[span.start : span.end] for span in gold if span.label == query.labels[0]]
        assert (query.prompts, " ".join(query.instruction)) == ((ANSWER,), " ".join(query.instruction))
    return asked


ALL = {"@misc": "spacy_gliner.sample_labels.v1", "max_labels": 99, "max_negatives": 9999}


def test_training_asks_the_questions_of_the_reference_and_no_others(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    gold = {"Who?": [(0, 2), (7, 9)], "Why?": []}
    for asked in (None, ["Who?", "Why?"], [WHERE]):
        assert lessons(nlp, example_of(nlp, gold, asked)) == {
            "Who?": [("Bill", "Gates"), ("Steve", "Jobs")],
            "Why?": [],
        }


def test_a_reference_that_answers_no_question_asks_none(make_nlp):
    nlp = make_nlp(sample_labels=ALL)
    assert lessons(nlp, example_of(nlp, {})) == {}
    assert lessons(nlp, Example(make_doc(nlp), make_doc(nlp))) == {}


def test_questions_of_the_reference_are_given_to_a_copy(make_nlp):
    nlp = make_nlp()
    task = nlp.get_pipe("gliner_qa").task
    example = example_of(nlp, {"Who?": [(0, 2)], "Why?": []})
    example.reference._.gliner_questions = ["When?", "Who?"]
    given = task.given(example)
    assert given._.gliner_questions == ["When?", "Who?", "Why?"]
    assert example.predicted._.gliner_questions is None
    assert given._.gliner_answers == {}


def test_gold_moves_to_the_tokens_of_the_prediction(make_nlp, caplog):
    nlp = make_nlp()
    reference = Doc(nlp.vocab, words=["Bill", "-", "Gates", "met", "Ada"], spaces=[False, False, True, True, False])
    reference._.gliner_answers = {"Who?": [reference[0:3]], "Whom?": [reference[4:5]], "What?": [reference[0:2]]}
    predicted = Doc(nlp.vocab, words=["Bill-Gates", "met", "Ada"])
    gold = nlp.get_pipe("gliner_qa").task.gold(Example(predicted, reference))
    assert gold == [ScoredSpan(0, 1, "Who?", 1.0), ScoredSpan(2, 3, "Whom?", 1.0)]
    assert "1 of 1 gold spans" in caplog.text


def test_questions_are_not_learned_as_labels_of_the_component(make_nlp):
    nlp = make_nlp(questions=[])
    nlp.initialize(lambda: [example_of(nlp, {"Who?": [(0, 2)]})])
    assert nlp.get_pipe("gliner_qa").labels == ()
