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


def test_no_file_names_a_folder_of_the_machine_that_trained_it():
    config = json.loads((FOLDER / "gliner_config.json").read_text(encoding="utf8"))
    assert config["model_name"] == config["encoder_config"]["_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
