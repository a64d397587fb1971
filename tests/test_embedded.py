"""The model inside the package."""

import json
from pathlib import Path

import spacy

import spacy_gliner

FOLDER = Path(spacy_gliner.__file__).parent / "embedded"
SENTENCE = "Steve Jobs founded Apple in Cupertino and unveiled the iPhone there in 2007."


def test_the_first_example_of_the_readme_finds_what_a_reader_expects():
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": ["person", "company", "product"]})
    found = {ent.text: (ent.label_, ent._.gliner_score) for ent in nlp(SENTENCE).ents}
    assert (found["Steve Jobs"][0], found["Apple"][0], found["iPhone"][0]) == ("person", "company", "product")
    assert all(score > 0.5 for _, score in found.values())


def test_labels_are_zero_shot():
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner_ner", config={"labels": ["year"]})
    assert [(ent.text, ent.label_) for ent in nlp(SENTENCE).ents] == [("2007", "year")]


def test_one_text_gives_entities_relations_a_summary_and_an_answer():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("gliner_ner", config={"labels": ["person", "company", "city"]})
    founded = {"name": "founded by", "head": ["company"], "tail": ["person"]}
    nlp.add_pipe("gliner_relations", config={"relations": [founded]})
    nlp.add_pipe("gliner_summarizer", config={"max_sentences": 1})
    nlp.add_pipe("gliner_qa", config={"questions": ["When was Apple founded?"]})
    doc = nlp("Apple was founded by Steve Jobs and Steve Wozniak in 1976. It has offices in Cupertino.")
    assert {relation.to_tuple() for relation in doc._.gliner_relations} == {
        ("Apple", "founded by", "Steve Jobs"),
        ("Apple", "founded by", "Steve Wozniak"),
    }
    (sentence,) = doc._.gliner_summary
    assert sentence.text in {sentence.text for sentence in doc.sents}
    assert [answer.span.text for answer in doc._.gliner_answers["When was Apple founded?"]][:1] == ["1976"]


def test_no_file_names_a_folder_of_the_machine_that_trained_it():
    config = json.loads((FOLDER / "gliner_config.json").read_text(encoding="utf8"))
    assert config["model_name"] == config["encoder_config"]["_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
