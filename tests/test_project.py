"""The project file and the training configs: valid, complete, and about files that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from spacy.cli import app
from spacy.cli.init_config import fill_config
from spacy.util import load_config, load_model_from_config
from thinc.api import Config
from weasel.cli.document import project_document
from weasel.cli.run import print_run_help
from weasel.schemas import ProjectConfigSchema, validate
from weasel.util import load_project_config

import spacy_gliner.cli  # noqa: F401  (adds its commands to spaCy's, as installed packages do)

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))


@pytest.fixture(scope="module")
def project():
    return load_project_config(ROOT, interpolate=True)


def scripts(project):
    return [(command["name"], line) for command in project["commands"] for line in command["script"]]


def test_the_project_file_is_valid():
    assert validate(ProjectConfigSchema, load_project_config(ROOT, interpolate=False)) == []


def test_workflows_are_made_of_commands(project):
    commands = {command["name"] for command in project["commands"]}
    assert project["workflows"]
    assert {step for steps in project["workflows"].values() for step in steps} <= commands


def test_every_command_of_a_workflow_finds_what_it_depends_on(project):
    """In the repository, among the outputs of the commands before it, or of the workflow that it is a sequel to."""
    sequels = {"evaluate": "train", "package": "train", "pretrain_tasks": "pretrain"}
    for name, steps in project["workflows"].items():
        made = set()
        for step in [*project["workflows"].get(sequels.get(name), []), *steps]:
            (command,) = [command for command in project["commands"] if command["name"] == step]
            for path in command.get("deps", []):
                assert path in made or (ROOT / path).exists(), f"{step}: {path}"
            made.update(command.get("outputs", []))


def test_commands_say_what_they_read_and_write(project):
    for command in project["commands"]:
        assert command["deps"], command["name"]
        assert command.get("outputs") or command.get("outputs_no_cache"), command["name"]


def test_scripts_call_commands_that_exist(project):
    click_app = typer.main.get_command(app)
    called = [shlex.split(line) for _, line in scripts(project)]
    assert called
    for words in called:
        assert words[0] == "python"
        if words[1] != "-m":
            assert (ROOT / words[1]).is_file()
            continue
        assert words[2] == "spacy"
        command = click_app
        for word in words[3:]:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"spacy has no command {word}"
            command = command.commands[word]


def test_the_help_of_the_project_is_printed(capsys):
    print_run_help(ROOT)
    assert "pretrain" in capsys.readouterr().out


def test_scripts_name_configs_of_the_repository(project):
    named = {path for _, line in scripts(project) for path in re.findall(r"configs/\S+\.cfg", line)}
    assert named
    assert all((ROOT / path).is_file() for path in named)


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_can_be_filled_and_built(path, tiny_backbone):
    config = load_config(path, interpolate=False)
    config["paths"] = dict.fromkeys(config["paths"], str(tiny_backbone))
    nlp = load_model_from_config(Config(config).interpolate(), auto_fill=True, validate=True)
    assert "gliner_ner" in nlp.pipe_names


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_can_be_filled_by_the_command(path, tmp_path, capsys):
    filled = tmp_path / "filled.cfg"
    fill_config(filled, path)
    before, after = load_config(path, interpolate=False), load_config(filled, interpolate=False)
    component = before["components"]["gliner_ner"]
    assert set(component) <= set(after["components"]["gliner_ner"])
    default = {"@misc": "spacy_gliner.strided_windows.v1", "size": 250, "stride": 200}
    assert after["components"]["gliner_ner"]["windows"] == component.get("windows", default)
    assert before["paths"].items() <= after["paths"].items()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_holds_no_path_of_somebodys_machine(path):
    assert not re.search(r'"(/|~|[A-Z]:)', path.read_text(encoding="utf8"))


def test_the_readme_documents_the_project_as_it_is(tmp_path):
    readme = tmp_path / "README.md"
    before = (ROOT / "README.md").read_text(encoding="utf8")
    readme.write_text(before, encoding="utf8")
    project_document(ROOT, readme, no_emoji=True)
    assert readme.read_text(encoding="utf8") == before, "run: spacy project document --no-emoji --output README.md"
