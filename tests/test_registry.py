"""What is registered: exactly what setup.cfg lists, and all of it is there."""

from configparser import ConfigParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

SETUP = ConfigParser()
SETUP.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf8")
ENTRIES = [
    (group, *(part.strip() for part in line.split("=")))
    for group, lines in SETUP["options.entry_points"].items()
    for line in lines.strip().splitlines()
]
FUNCTIONS = [entry for entry in ENTRIES if entry[0] not in ("spacy_factories", "spacy_cli")]


@pytest.mark.parametrize("group, name, target", FUNCTIONS)
def test_registered_names_give_their_objects(group, name, target):
    found = spacy.registry.get(group.removeprefix("spacy_").removeprefix("thinc_"), name)
    assert f"{found.__module__}:{found.__qualname__}" == target


def test_the_factory_is_known_to_spacy_without_an_import_of_ours():
    assert spacy.blank("en").has_factory("gliner_ner")
    assert Language.get_factory_meta("gliner_ner").assigns


def test_the_installed_package_has_the_same_entry_points():
    installed = {
        (group, entry.name, entry.value)
        for group in SETUP["options.entry_points"]
        for entry in entry_points(group=group)
        if entry.value.startswith("spacy_gliner.")
    }
    assert installed == set(ENTRIES)


@pytest.mark.parametrize("group, name, target", FUNCTIONS)
def test_names_are_versioned(group, name, target):
    prefix, _, version = name.rpartition(".")
    assert prefix.startswith("spacy_gliner.")
    assert version == "v1"
