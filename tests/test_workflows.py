"""The workflows of the project file run from end to end, with a tiny random network in place of the embedded one."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import spacy
from weasel.cli.run import project_run

from spacy_gliner.ml.checkpoints import write_checkpoint

from .tiny import tiny_bert, tiny_network_checkpoint

ROOT = Path(__file__).parent.parent
STAGES = ("embedded_multitask", "embedded_types", "embedded_open", "embedded_passages")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs a workflow in a copy of the project; gives the folder."""
    folder = tmp_path_factory.mktemp("project")
    checkpoint = tmp_path_factory.mktemp("checkpoints") / "token"
    write_checkpoint(tiny_network_checkpoint(tiny_bert(max_position_embeddings=512)), checkpoint)
    shutil.copy(ROOT / "project.yml", folder)
    for name in ("assets", "configs", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    for config in ("finetune", "finetune_multitask"):
        path = folder / "configs" / f"{config}.cfg"
        text = path.read_text(encoding="utf8").replace("eval_frequency = 40", "eval_frequency = 3")
        path.write_text(text.replace("every = 40", "every = 3"), encoding="utf8")
    variants = folder / "configs" / "ablations_heads.json"
    (first, *_) = json.loads(variants.read_text(encoding="utf8")).items()
    variants.write_text(json.dumps(dict([first])), encoding="utf8")
    shorter = {
        "finetune.cfg": ("max_steps = 240", "max_steps = 6"),
        "finetune_multitask.cfg": ("max_steps = 120", "max_steps = 3"),
    }
    for name, change in shorter.items():
        path = folder / "configs" / name
        assert change[0] in path.read_text(encoding="utf8")
        path.write_text(path.read_text(encoding="utf8").replace(*change), encoding="utf8")

    def run(workflow, **variables):
        variables = {"start": str(checkpoint), "backbone": str(checkpoint), "pretrain_steps": 2} | variables
        project_run(folder, workflow, overrides={f"vars.{name}": value for name, value in variables.items()})
        return folder

    return run


def scores(path):
    return json.loads(path.read_text(encoding="utf8"))["sets"]


@pytest.mark.slow
def test_train_ends_with_a_pipeline_that_loads_and_scores(run):
    folder = run("train")
    nlp = spacy.load(folder / "training" / "finetuned" / "model-fitted")
    assert len(nlp.get_pipe("gliner_ner").labels) == 7
    for name in ("zero_shot", "finetuned"):
        assert set(scores(folder / "metrics" / f"{name}.json")) == {"test", "ner_general"}
    run("evaluate")
    assert "ents_per_type" in json.loads((folder / "metrics" / "evaluate.json").read_text(encoding="utf8"))
    run("package")
    assert list((folder / "packages").glob("en_gliner_finetuned-*/dist/*"))


@pytest.mark.slow
def test_train_can_be_run_again_with_data_of_other_formats(run, tmp_path):
    columns = tmp_path / "train.conll"
    columns.write_text("Ada B-human\nmet O\nBob B-human\n. O\n\nNobody O\ncame O\n. O\n" * 4, encoding="utf8")
    texts = tmp_path / "test.jsonl"
    texts.write_text(json.dumps({"text": "Ada met Bob.", "entities": [[0, 3, "human"]]}) + "\n", encoding="utf8")
    folder = run("train", train=str(columns), dev=str(columns), test=str(texts))
    assert spacy.load(folder / "training" / "finetuned" / "model-fitted").get_pipe("gliner_ner").labels == ("human",)
    assert set(scores(folder / "metrics" / "finetuned.json")) == {"test", "ner_general"}


@pytest.mark.slow
def test_train_multitask_measures_every_task(run):
    folder = run("train_multitask")
    measured = json.loads((folder / "metrics" / "multitask.json").read_text(encoding="utf8"))["files"]
    assert {"ner_general", "rel_sample", "qa_sample", "sum_sample"} <= set(measured)


@pytest.mark.slow
def test_self_train_learns_from_raw_text_and_scores_before_and_after(run):
    folder = run("self_train", keep=0.06, smoothing=0.1)
    loss = spacy.load(folder / "training" / "self_trained" / "model-last").config["components"]["gliner_ner"]["loss"]
    assert (loss["smoothing"], loss["alpha"]) == (0.1, 0.75)
    for name in ("before_self_training", "self_trained"):
        assert set(scores(folder / "metrics" / f"{name}.json")) == {"test"}


@pytest.mark.slow
def test_pretrain_ends_with_a_checkpoint(run):
    folder = run("pretrain")
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "gliner_ner",
        config={"labels": ["person"], "model": {"source": {"name": str(folder / "training" / "checkpoint")}}},
    )
    nlp("Ada met Bob.")


@pytest.fixture
def public_data(tmp_path):
    """A folder with files of all the names that the recipe of the embedded model mixes, a few rows each."""
    tasks = ROOT / "assets" / "tasks" / "train"
    samples = {"ner": "ner_general", "rel": "rel_sample", "qa": "qa_sample", "sum": "sum_sample"}
    rows = {kind: (tasks / f"{name}.jsonl").read_text(encoding="utf8") for kind, name in samples.items()}
    text = "".join((ROOT / "configs" / f"{name}.cfg").read_text(encoding="utf8") for name in STAGES)
    names = set(re.findall(r"^((?:ner|rel|qa|sum)_\w+) = ", text, flags=re.MULTILINE))
    for name in (name for name in names if not name.startswith(("ner_types_", "ner_open_"))):
        (tmp_path / f"{name}.jsonl").write_text(rows[name.split("_")[0]], encoding="utf8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(
    "SPACY_GLINER_LONG" not in os.environ, reason="takes more than a minute; SPACY_GLINER_LONG=1 runs it"
)
def test_pretrain_tasks_goes_on_where_pretrain_ended(run, public_data):
    """Through all stages, each with a step, to a checkpoint of all tasks."""
    folder = run("pretrain")
    for name in STAGES:
        path = folder / "configs" / f"{name}.cfg"
        text = re.sub(r"(max_steps|eval_frequency) = \d+", r"\1 = 1", path.read_text(encoding="utf8"))
        text = re.sub(r"(batch_by_words.v1\"\nsize) = \d+", r"\1 = 50", text)
        path.write_text(text.replace("n_examples = 600", "n_examples = 6"), "utf8")
    row = json.loads((public_data / "ner_wikigold.jsonl").read_text(encoding="utf8").splitlines()[0])
    annotated = {"file": "ner_wikigold", "id": row["id"], "entities": [[row["tokens"][0], "word"]], "absent": ["sign"]}
    with gzip.open(folder / "assets" / "open_types.jsonl.gz", "wt", encoding="utf8") as file:
        file.write(json.dumps(annotated) + "\n")
    run("pretrain_tasks", data=str(public_data))
    nlp = spacy.blank("en")
    model = {"source": {"name": str(folder / "training" / "embedded")}}
    nlp.add_pipe("gliner_ner", config={"labels": ["person"], "model": model})
    nlp("Ada met Bob.")


@pytest.mark.slow
def test_ablations_end_with_a_table(run):
    path = run("ablations", variants="ablations_heads", pretrain_steps=1) / "training" / "ablations_heads" / "table.md"
    assert "| token head | 1 |" in path.read_text(encoding="utf8")


@pytest.mark.slow
def test_the_benchmark_writes_tables(run):
    folder = run("zero_shot_benchmark")
    assert "| `ner_general` |" in (folder / "metrics" / "benchmark.md").read_text(encoding="utf8")
