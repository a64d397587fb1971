"""Who may import whom: the table of CONTRIBUTING.md, read from the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_gliner

PACKAGE = Path(spacy_gliner.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))

CORE = {"types", "transfer", "batching", "decoding", "targets", "losses"}
LAYERS = {
    "core": (CORE, {"torch", "tokenizers", "numpy"}),
    "nn": (CORE | {"nn"}, {"torch", "transformers"}),
    "ml": (
        CORE | {"nn", "ml"},
        {"thinc", "torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "srsly"},
    ),
    "pipeline": (CORE | {"ml", "pipeline"}, {"spacy", "thinc", "torch"}),
}
ON_TOP = {
    "__init__",
    "__main__",
    "training",
    "scoring",
    "scaling",
    "ray",
    "evaluation",
    "evaluation_benchmark",
    "evaluation_relations",
    "evaluation_tasks",
    "conversion",
    "asking",
    "published",
    "display",
    "display_markdown",
    "display_tasks",
    "views",
    "cli",
}


def imports(module):
    """Names of everything that a module imports, in functions too; those of the package as `spacy_gliner.part…`."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf8"))
    package = ("spacy_gliner", *module.split("/")[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "spacy_gliner" else (base,)


def layer_of(module):
    part = module.split("/")[0]
    return "core" if part in CORE else part


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_layer_may(module):
    layer = layer_of(module)
    if layer in ON_TOP:
        return
    own, foreign = LAYERS[layer]
    for name in imports(module):
        top, _, rest = name.partition(".")
        if top == "spacy_gliner":
            assert rest.split(".")[0] in own, name
        else:
            assert top in foreign | sys.stdlib_module_names, name


def test_every_module_belongs_to_a_layer():
    assert {layer_of(module) for module in MODULES} == set(LAYERS) | ON_TOP


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_library_is_not_used(module):
    assert not {"gliner", "gliner_spacy"} & {name.split(".")[0] for name in imports(module)}


def test_importing_the_package_gives_no_warning_and_loads_no_pipeline():
    code = "import spacy_gliner, sys; assert not {'spacy', 'thinc', 'transformers'} & set(sys.modules)"
    result = subprocess.run([sys.executable, "-Werror", "-c", code], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_the_embedded_model_is_loaded_without_the_hugging_face_library():
    code = (
        "import sys, spacy_gliner.pipeline.ner; from spacy_gliner.ml.sources import Checkpoint;"
        "network = Checkpoint('embedded')().network;"
        "assert not {'transformers', 'torch._dynamo'} & set(sys.modules);"
        "assert all(weight.device.type == 'cpu' and weight.requires_grad for weight in network.parameters())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
