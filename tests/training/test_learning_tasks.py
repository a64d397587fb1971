"""Learning relations, answers, summaries and prompts by heart, each alone and all in one network."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.pipeline.results import Relation
from spacy_gliner.training.optimizers import AdamW

from ..pipeline.components import LANGUAGE

FACTS = "Bill Gates founded Microsoft . Ada lived in London ."
OTHER = "Steve Jobs founded Apple . She works in Seattle ."
NOTHING = "it works in gold ."
ASKED = {
    "gliner_ner": {"labels": ["person", "city"]},
    "gliner_relations": {"relations": ["founded"]},
    "gliner_qa": {"questions": ["Who founded it ?", "Where is gold ?"]},
    "gliner_summarizer": {"threshold": 0.5},
    "gliner_openie": {"prompts": ["any city :"]},
}
SAME_LABELS = {"@misc": "spacy_gliner.sample_labels.v1", "max_negatives": 20, "shuffle": False}


@pytest.fixture
def new_nlp(tiny_backbone):
    """A function that makes a pipeline in which the first component owns a new network and the others borrow it."""

    def make(*factories):
        nlp = spacy.blank(LANGUAGE)
        nlp.add_pipe("sentencizer")
        owner = {"@misc": "spacy_gliner.NewNetwork.v1", "backbone": str(tiny_backbone), "head": "token"}
        owner |= {"dropout": 0.0, "backbone_dropout": 0.0}
        for number, factory in enumerate(factories):
            lent = {"@misc": "spacy_gliner.FromComponent.v1", "component": factories[0]}
            model = {"model": {"source": lent if number else owner}}
            nlp.add_pipe(
                factory, config={"sample_labels": SAME_LABELS, "loss": {"alpha": 0.9}, **ASKED[factory], **model}
            )
        return nlp

    return make


def span(doc, text, label=0):
    words, wanted = [token.text for token in doc], text.split()
    start = next(i for i in range(len(words)) if words[i : i + len(wanted)] == wanted)
    return Span(doc, start, start + len(wanted), label=label)


def make_example(nlp, text, people=(), cities=(), facts=(), answers=None, summary=()):
    """Gold of every task for one text; the predicted Doc knows its entities only."""
    predicted, reference = Doc(nlp.vocab, words=text.split()), Doc(nlp.vocab, words=text.split())
    reference.ents = [span(reference, name, "person") for name in people] + [
        span(reference, name, "city") for name in cities
    ]
    predicted.ents = [Span(predicted, ent.start, ent.end, label=ent.label) for ent in reference.ents]
    reference._.gliner_relations = [
        Relation(span(reference, head), label, span(reference, tail)) for head, label, tail in facts
    ]
    reference._.gliner_answers = {
        question: [span(reference, answer) for answer in (answers or {}).get(question, [])]
        for question in ASKED["gliner_qa"]["questions"]
    }
    reference._.gliner_matches = {"any city :": [span(reference, city) for city in cities]}
    reference._.gliner_summary = [span(reference, sentence) for sentence in summary]
    return Example(predicted, reference)


def examples_of(nlp):
    who, where = ASKED["gliner_qa"]["questions"]
    return [
        make_example(
            nlp,
            FACTS,
            people=["Bill Gates", "Ada"],
            cities=["London"],
            facts=[("Bill Gates", "founded", "Microsoft")],
            answers={who: ["Bill Gates"]},
            summary=["Bill Gates founded Microsoft ."],
        ),
        make_example(
            nlp,
            OTHER,
            people=["Steve Jobs"],
            cities=["Seattle"],
            facts=[("Steve Jobs", "founded", "Apple")],
            answers={who: ["Steve Jobs"]},
            summary=["Steve Jobs founded Apple ."],
        ),
        make_example(nlp, NOTHING, answers={where: ["gold"]}),
    ]


def learn(nlp, examples, most_steps=300):
    """Train as `spacy train` does, all components and then one step for all, until little is left of every loss."""
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    optimizer = AdamW(learn_rate=0.002, head_learn_rate=0.006, weight_decay=0.0)
    first = None
    for _ in range(most_steps):
        losses = nlp.update(examples, sgd=False, losses={})
        first = first or losses
        if all(losses[name] < 0.05 * first[name] for name in losses):
            return
        for name in losses:
            nlp.get_pipe(name).finish_update(optimizer)
    pytest.fail(f"Nothing learned in {most_steps} steps: {first} became {losses}.")


def results(nlp, examples):
    """What is found in the texts, whose entities are given."""
    docs = [nlp(example.predicted.copy()) for example in examples]
    found = {}
    for name in nlp.pipe_names:
        if name == "gliner_ner":
            found[name] = [sorted((ent.text, ent.label_) for ent in doc.spans["gliner_ner"]) for doc in docs]
        elif name == "gliner_relations":
            found[name] = [[relation.to_tuple() for relation in doc._.gliner_relations] for doc in docs]
        elif name == "gliner_qa":
            found[name] = [
                {
                    question: [answer.span.text for answer in answers]
                    for question, answers in doc._.gliner_answers.items()
                }
                for doc in docs
            ]
        elif name == "gliner_openie":
            found[name] = [[match.span.text for match in doc._.gliner_matches["any city :"]] for doc in docs]
        elif name == "gliner_summarizer":
            found[name] = [[sentence.text for sentence in doc._.gliner_summary] for doc in docs]
    return found


WHO, WHERE = ASKED["gliner_qa"]["questions"]
GOLD = {
    "gliner_ner": [
        [("Ada", "person"), ("Bill Gates", "person"), ("London", "city")],
        [("Seattle", "city"), ("Steve Jobs", "person")],
        [],
    ],
    "gliner_relations": [
        [("Bill Gates", "founded", "Microsoft")],
        [("Steve Jobs", "founded", "Apple")],
        [],
    ],
    "gliner_qa": [{WHO: ["Bill Gates"], WHERE: []}, {WHO: ["Steve Jobs"], WHERE: []}, {WHO: [], WHERE: ["gold"]}],
    "gliner_openie": [["London"], ["Seattle"], []],
    "gliner_summarizer": [["Bill Gates founded Microsoft ."], ["Steve Jobs founded Apple ."], []],
}

SCORES = {
    "gliner_ner": "ents_f",
    "gliner_relations": "rel_micro_f",
    "gliner_qa": "answers_f",
    "gliner_summarizer": "summary_rouge1",
    "gliner_openie": "matches_f",
}


@pytest.mark.parametrize("factory", [name for name in ASKED if name != "gliner_ner"])
def test_a_handful_of_examples_is_learned_saved_loaded_and_found(new_nlp, tmp_path, factory):
    nlp = new_nlp(factory)
    examples = examples_of(nlp)
    learn(nlp, examples)
    assert results(nlp, examples) == {factory: GOLD[factory]}
    assert nlp.evaluate(examples_of(nlp))[SCORES[factory]] == 1.0
    nlp.to_disk(tmp_path)
    assert results(spacy.load(tmp_path), examples) == {factory: GOLD[factory]}


def test_one_network_learns_all_tasks_at_once(new_nlp, tmp_path):
    nlp = new_nlp(*ASKED)
    examples = examples_of(nlp)
    learn(nlp, examples)
    assert len({id(shim_of(nlp.get_pipe(name).model)) for name in ASKED}) == 1
    assert results(nlp, examples) == GOLD
    scores = nlp.evaluate(examples_of(nlp))
    assert {scores[key] for key in SCORES.values()} == {1.0}
    nlp.to_disk(tmp_path)
    assert results(spacy.load(tmp_path), examples) == GOLD
