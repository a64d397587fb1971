"""What the README promises is run, from top to bottom as a reader would."""

import re
from pathlib import Path

import pytest
import spacy
from spacy.util import load_model_from_config, registry
from thinc.api import Config

import spacy_gliner
from spacy_gliner.cli import app
from spacy_gliner.ml import sources

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EMBEDDED = Path(spacy_gliner.__file__).parent / "embedded"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="there is no README.md")
needs_model = pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the package holds no embedded model")


def code_blocks(*languages):
    text = README.read_text(encoding="utf8") if README.is_file() else ""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [code for language, code in blocks if language in languages]


def first_line(code):
    return code.strip().splitlines()[0]


def test_python_blocks_run_from_top_to_bottom(tmp_path, monkeypatch, tiny_checkpoint):
    blocks = code_blocks("python")
    assert blocks
    monkeypatch.chdir(tmp_path)
    if not EMBEDDED.is_dir():
        monkeypatch.setattr(sources, "EMBEDDED", tiny_checkpoint)
    namespace = {}
    for number, code in enumerate(blocks, start=1):
        exec(compile(code, f"README.md, python block {number}", "exec"), namespace)


@needs_model
def test_the_first_python_block_finds_what_a_reader_would_find(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec(compile(code_blocks("python")[0], "README.md", "exec"), namespace)
    doc = namespace["doc"]
    assert doc.ents
    assert all(ent.label_ in namespace["nlp"].get_pipe("gliner_ner").labels for ent in doc.ents)


def test_there_are_python_blocks():
    assert code_blocks("python")


@pytest.mark.parametrize("code", code_blocks("ini", "cfg"), ids=first_line)
def test_a_config_block_builds_a_pipeline(code):
    """Blocks are excerpts: what stands above their sections and beside them is spaCy's default."""
    sections = re.findall(r"^\[(.+)\]$", code, flags=re.MULTILINE)
    parents = {
        ".".join(section.split(".")[:depth]) for section in sections for depth in range(1, section.count(".") + 1)
    }
    excerpt = Config().from_str("".join(f"[{parent}]\n" for parent in sorted(parents - set(sections))) + code)
    config = Config(spacy.blank("en").config).merge(excerpt)
    config["nlp"]["pipeline"] = list(config["components"])
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    for name, component in excerpt.get("components", {}).items():
        assert nlp.get_pipe_meta(name).factory == component["factory"]


def test_names_of_the_registry_that_are_mentioned_exist():
    registered = {name for kind in registry.get_registry_names() for name in getattr(registry, kind).get_all()}
    mentioned = set(re.findall(r"spacy_gliner\.\w+\.v\d+", README.read_text(encoding="utf8")))
    assert mentioned
    assert mentioned <= registered


def links():
    text = README.read_text(encoding="utf8") if README.is_file() else ""
    return sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", text)))


@pytest.mark.parametrize("target", links())
def test_links_into_the_repository_lead_somewhere(target):
    if target.startswith("spacy_gliner/embedded") and not EMBEDDED.is_dir():
        pytest.skip("the package holds no embedded model")
    assert (ROOT / target).exists()


def test_commands_of_make_and_the_command_line_exist():
    text = "\n".join(code_blocks("bash"))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf8"), flags=re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", text, flags=re.MULTILINE)) <= set(targets)
    commands = {command.name for command in app.registered_commands}
    assert set(re.findall(r"spacy gliner ([\w-]+)", text)) <= commands
