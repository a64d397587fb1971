"""Learning: a handful of examples is learned by heart, saved, loaded, and found again."""

import copy
import json
import random

import pytest
import spacy
import torch
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed, load_config
from thinc.api import Adam, Config

from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.ml.checkpoints import write_checkpoint
from spacy_gliner.ml.parameters import freeze_weights, parameter_groups
from spacy_gliner.training.corpora import JsonCorpus
from spacy_gliner.training.optimizers import AdamW

from ..pipeline.helpers import assert_same, scored
from ..tiny import tiny_bert, tiny_network_checkpoint

ROWS = [
    {"tokens": "Bill Gates works in Seattle".split(), "spans": [[0, 1, "person"], [4, 4, "city"]]},
    {"tokens": "Steve Jobs lived in New York City".split(), "spans": [[0, 1, "person"], [4, 6, "city"]]},
    {"tokens": "in gold she met Ada who was from Berlin".split(), "spans": [[4, 4, "person"], [8, 8, "city"]]},
    {"tokens": "the apple is gold".split(), "spans": []},
]
LABELS = ["person", "city"]

# So tiny a network learns where things are in no time, and what labels mean never: it always gets the same ones.
SAME_LABELS = {"@misc": "spacy_gliner.sample_labels.v1", "max_negatives": 0, "shuffle": False}


@pytest.fixture
def rows(tmp_path):
    """The folder of a corpus."""
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf8")
    return folder


@pytest.fixture
def new_nlp(tiny_backbone):
    """A function that makes a pipeline with new heads on a tiny backbone."""

    def make(windows=None, **source):
        nlp = spacy.blank("en")
        source = {"backbone": str(tiny_backbone), "dropout": 0.0, "backbone_dropout": 0.0, **source}
        config = {
            "labels": LABELS,
            "sample_labels": SAME_LABELS,
            "loss": {"alpha": 0.9},
            **({"windows": windows} if windows else {}),
        }
        config["model"] = {"source": {"@misc": "spacy_gliner.NewNetwork.v1", **source}}
        nlp.add_pipe("gliner_ner", config=config)
        return nlp

    return make


def learn(nlp, examples, *, steps=120, seed=0):
    """The losses of training on all examples at once."""
    fix_random_seed(seed)
    nlp.initialize(lambda: examples)
    optimizer = AdamW(learn_rate=0.001, head_learn_rate=0.005, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(examples, sgd=optimizer)["gliner_ner"])
    return losses


def gold(examples):
    return [sorted((e.start, e.end, e.label_) for e in example.reference.ents) for example in examples]


def predicted(nlp, examples):
    return [sorted((e.start, e.end, e.label_) for e in nlp(eg.reference.copy()).ents) for eg in blank(nlp, examples)]


def blank(nlp, examples):
    """The same Examples, with nothing annotated in either Doc."""
    for example in examples:
        doc = spacy.tokens.Doc(nlp.vocab, words=[token.text for token in example.reference])
        yield Example(doc, doc)


@pytest.mark.parametrize("head", ["token", "markerV0", "marker"])
def test_a_handful_of_examples_is_learned_saved_loaded_and_found(new_nlp, rows, tmp_path, head):
    nlp = new_nlp(head=head, max_width=4)
    examples = list(JsonCorpus(rows)(nlp))
    losses = learn(nlp, examples, seed=1)
    assert losses[-1] < 0.1 * losses[0]
    assert predicted(nlp, examples) == gold(examples)
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    texts = [" ".join(row["tokens"]) for row in ROWS]
    assert_same(again.pipe(texts), nlp.pipe(texts))
    assert predicted(again, examples) == gold(examples)


@pytest.mark.parametrize("network", [{}, {"label_backbone": tiny_bert(), "lstm_layers": 0}], ids=["uni", "bi"])
def test_a_network_that_scores_spans_once_more_learns_both_scores(rows, tmp_path, network):
    checkpoint = tiny_network_checkpoint(seed=3, represent_spans=True, dropout=0.0, **network)
    write_checkpoint(checkpoint, tmp_path / "checkpoint")
    nlp = spacy.blank("en")
    model = {"source": {"name": str(tmp_path / "checkpoint")}}
    config = {"labels": LABELS, "sample_labels": SAME_LABELS, "loss": {"alpha": 0.9}, "model": model}
    nlp.add_pipe("gliner_ner", config=config)
    examples = list(JsonCorpus(rows)(nlp))
    losses = learn(nlp, examples, steps=300)
    assert losses[-1] < 0.1 * losses[0]
    changed = shim_of(nlp.get_pipe("gliner_ner").model).network
    assert all(
        not torch.equal(a, b)
        for a, b in zip(changed.head.markers.parameters(), checkpoint.network.head.markers.parameters(), strict=True)
    )
    assert predicted(nlp, examples) == gold(examples)
    nlp.to_disk(tmp_path / "pipeline")
    assert predicted(spacy.load(tmp_path / "pipeline"), examples) == gold(examples)


def test_spans_across_windows_and_beside_space_are_learned_where_they_stand(new_nlp):
    nlp = new_nlp(windows={"@misc": "spacy_gliner.strided_windows.v1", "size": 9, "stride": 3})
    words = "\n the apple is Bill  Gates in New  York City and it works in gold with text".split(" ")
    words = [word or " " for word in words]
    doc = spacy.tokens.Doc(nlp.vocab, words=words)
    reference = doc.copy()
    starts = words.index("Bill"), words.index("New")
    reference.ents = [
        Span(reference, starts[0], starts[0] + 3, label="person"),
        Span(reference, starts[1], starts[1] + 4, label="city"),
    ]
    example = Example(doc, reference)
    learn(nlp, [example])
    assert predicted(nlp, [example]) == gold([example])


def test_the_same_seed_gives_the_same_losses(new_nlp, rows):
    runs = []
    for seed in (1, 1, 2):
        nlp = new_nlp(dropout=0.2, backbone_dropout=0.1)
        runs.append(learn(nlp, list(JsonCorpus(rows)(nlp)), steps=4, seed=seed))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_learning_from_a_checkpoint_starts_where_it_stands(make_nlp):
    nlp = make_nlp(threshold=0.0)
    example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
    before = scored(nlp("Bill founded Microsoft"))
    nlp.initialize(lambda: [example])
    assert scored(nlp("Bill founded Microsoft")) == before
    nlp.update([example], sgd=AdamW(learn_rate=0.0, head_learn_rate=0.0, weight_decay=0.0))
    assert scored(nlp("Bill founded Microsoft")) == before
    nlp.update([example], sgd=AdamW(learn_rate=0.01, head_learn_rate=0.01))
    assert scored(nlp("Bill founded Microsoft")) != before


def weights(nlp):
    return {name: w.clone() for name, w in shim_of(nlp.get_pipe("gliner_ner").model).network.state_dict().items()}


def test_an_example_without_entity_annotation_teaches_nothing(make_nlp):
    nlp = make_nlp()
    nlp.initialize()
    doc = nlp.make_doc("Bill founded Microsoft")
    before = weights(nlp)
    losses = nlp.update([Example(doc, doc.copy())], sgd=AdamW(learn_rate=0.1, head_learn_rate=0.1))
    assert losses == {"gliner_ner": 0.0}
    assert all(torch.equal(weight, before[name]) for name, weight in weights(nlp).items())


def test_an_example_with_empty_annotation_teaches_that_nothing_is_there(make_nlp):
    nlp = make_nlp(threshold=0.4)
    text = "Bill founded Microsoft in Seattle with Steve Jobs"
    assert nlp(text).ents
    doc = nlp.make_doc(text)
    reference = doc.copy()
    reference.ents = []
    assert learn(nlp, [Example(doc, reference)], steps=15)[0] > 0
    assert not nlp(text).ents


def test_examples_with_and_without_annotation_can_be_mixed(make_nlp):
    losses = []
    for with_unannotated in (True, False):
        fix_random_seed(3)
        nlp = make_nlp()
        examples = [Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})]
        doc = nlp.make_doc("Ada met Babbage")
        examples += [Example(doc, doc.copy())] * with_unannotated
        nlp.initialize(lambda examples=examples: examples)
        losses.append(nlp.update(examples)["gliner_ner"])
    assert losses[0] == losses[1] > 0


def test_a_batch_of_empty_documents_is_no_problem(make_nlp):
    nlp = make_nlp()
    doc = nlp.make_doc("")
    reference = doc.copy()
    reference.ents = []
    assert nlp.update([Example(doc, reference)], sgd=AdamW()) == {"gliner_ner": 0.0}
    assert nlp.get_pipe("gliner_ner").update([], sgd=AdamW()) == {"gliner_ner": 0.0}


def test_gold_of_the_span_group_goes_over_the_entities(make_nlp):
    nlp = make_nlp(spans_key="sc")
    doc = nlp.make_doc("New York City")
    reference = doc.copy()
    reference.ents = [Span(reference, 0, 3, label="city")]
    reference.spans["sc"] = [Span(reference, 0, 2, label="city"), Span(reference, 0, 3, label="company")]
    task = nlp.get_pipe("gliner_ner").task
    assert [span[:3] for span in task.gold(Example(doc, reference))] == [(0, 2, "city"), (0, 3, "company")]
    del reference.spans["sc"]
    assert [span[:3] for span in task.gold(Example(doc, reference))] == [(0, 3, "city")]


def test_gold_moves_to_the_tokens_of_the_prediction(make_nlp):
    nlp = make_nlp()
    doc = spacy.tokens.Doc(nlp.vocab, words=["New", "York-City", "Bill"], spaces=[True, True, False])
    reference = spacy.tokens.Doc(
        nlp.vocab, words=["New", "York", "-", "City", "Bill"], spaces=[True, False, False, True, False]
    )
    reference.ents = [Span(reference, 0, 4, label="city"), Span(reference, 4, 5, label="person")]
    gold = nlp.get_pipe("gliner_ner").task.gold(Example(doc, reference))
    assert [span[:3] for span in gold] == [(0, 2, "city"), (2, 3, "person")]


def test_gold_that_does_not_fall_on_tokens_is_said_and_left_out(make_nlp, caplog):
    nlp = make_nlp()
    doc = spacy.tokens.Doc(nlp.vocab, words=["New", "York-City"])
    reference = spacy.tokens.Doc(nlp.vocab, words=["New", "York", "-", "City"], spaces=[True, False, False, True])
    reference.ents = [Span(reference, 0, 2, label="city")]
    assert nlp.get_pipe("gliner_ner").task.gold(Example(doc, reference)) == []
    assert "1 of 1 gold spans" in caplog.text


def test_labels_of_a_row_are_those_that_are_asked(make_nlp):
    nlp = make_nlp(labels=["person"], sample_labels={"@misc": "spacy_gliner.sample_labels.v1", "max_negatives": 50})
    doc = nlp.make_doc("Bill founded Microsoft")
    doc._.gliner_labels = ["company", "river", "drug"]
    reference = doc.copy()
    reference.ents = [Span(reference, 2, 3, label="company")]
    pipe = nlp.get_pipe("gliner_ner")
    asked = [query.labels for _ in range(30) for query, *_ in pipe.lessons([Example(doc, reference)])]
    assert {label for labels in asked for label in labels} == {"company", "river", "drug"}
    assert all("company" in labels for labels in asked)


def test_a_learning_component_shares_its_batch_with_others(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp.add_pipe("tagger")
    doc = nlp.make_doc("Bill founded Microsoft")
    example = Example.from_dict(doc, {"entities": [(0, 4, "person")], "tags": ["N", "V", "N"]})
    nlp.initialize(lambda: [example])
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(8):
        losses = nlp.update([example], sgd=optimizer)
        optimizer.step_schedules()
    assert set(losses) == {"gliner_ner", "tagger"}
    with nlp.use_params(optimizer.averages):
        nlp.to_disk(tmp_path)
    assert [token.tag_ for token in spacy.load(tmp_path)("Bill founded Microsoft")] == ["N", "V", "N"]


def test_a_frozen_component_does_not_learn(make_nlp):
    nlp = make_nlp()
    example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
    nlp.initialize(lambda: [example])
    before = weights(nlp)
    nlp.update([example], sgd=AdamW(learn_rate=0.1, head_learn_rate=0.1), exclude=["gliner_ner"])
    assert all(torch.equal(weight, before[name]) for name, weight in weights(nlp).items())


def test_gradients_of_several_updates_wait_for_one_step(make_nlp):
    nlp = make_nlp()
    pipe = nlp.get_pipe("gliner_ner")
    example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
    nlp.initialize(lambda: [example])
    before = weights(nlp)
    losses = {}
    for _ in range(2):
        pipe.update([example], losses=losses)
    assert losses["gliner_ner"] > 0
    assert all(torch.equal(weight, before[name]) for name, weight in weights(nlp).items())
    optimizer = AdamW(learn_rate=0.01, head_learn_rate=0.01)
    pipe.finish_update(optimizer)
    after = weights(nlp)
    assert not all(torch.equal(weight, before[name]) for name, weight in after.items())
    pipe.finish_update(optimizer)  # no gradient arrived since
    assert all(torch.equal(weight, after[name]) for name, weight in weights(nlp).items())


def tiny_config(pytestconfig, rows, backbone, **training):
    """The recipe of the embedded model, for a few rows and steps."""
    config = load_config(pytestconfig.rootpath / "configs" / "embedded.cfg")
    config["paths"] |= {"train": str(rows), "dev": str(rows), "backbone": str(backbone)}
    config["corpora"]["train"]["weights"] = {"few": 1.0}
    config["training"] |= {"max_steps": 120, "eval_frequency": 60, **training}
    for key, rate in {"learn_rate": 0.001, "head_learn_rate": 0.005}.items():
        config["training"]["optimizer"][key] |= {"rate": rate, "warmup_steps": 5}
    config["components"]["gliner_ner"]["sample_labels"] = SAME_LABELS
    config["components"]["gliner_ner"]["loss"]["alpha"] = 0.9
    config["components"]["gliner_ner"]["model"]["source"]["dropout"] = 0.0
    return config


def test_spacy_train_learns_a_handful_of_rows_by_heart(pytestconfig, rows, tiny_backbone, tmp_path, capsys):
    tiny_config(pytestconfig, rows, tiny_backbone).to_disk(tmp_path / "tiny.cfg")
    train(tmp_path / "tiny.cfg", tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "model-best" / "meta.json").read_text(encoding="utf8"))
    assert meta["performance"]["ents_f"] == 1.0
    nlp = spacy.load(tmp_path / "out" / "model-best")
    assert set(nlp.get_pipe("gliner_ner").labels) == set(LABELS)
    examples = list(JsonCorpus(rows)(nlp))
    assert predicted(nlp, examples) == gold(examples)


def test_spacy_train_reads_corpora_of_spacy(pytestconfig, rows, tiny_backbone, tmp_path, capsys):
    docs = [example.reference for example in JsonCorpus(rows)(spacy.blank("en"))]
    DocBin(docs=docs).to_disk(tmp_path / "few.spacy")
    config = tiny_config(pytestconfig, rows, tiny_backbone, max_steps=4, eval_frequency=2, max_epochs=0)
    corpus = {"@readers": "spacy.Corpus.v1", "path": str(tmp_path / "few.spacy"), "gold_preproc": False}
    config["corpora"] = Config({"train": corpus, "dev": corpus})
    config.to_disk(tmp_path / "tiny.cfg")
    train(tmp_path / "tiny.cfg", tmp_path / "out")
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert set(nlp.get_pipe("gliner_ner").labels) == set(LABELS)


def test_the_labels_that_are_asked_depend_on_the_seed(make_nlp):
    drawn = []
    for seed in (1, 1, 2):
        nlp = make_nlp(labels=list("abcdefghijkl"))
        example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "a")]})
        fix_random_seed(seed)
        nlp.initialize(lambda example=example: [example])
        pipe = nlp.get_pipe("gliner_ner")
        drawn.append([query.labels for _ in range(5) for query, *_ in pipe.lessons([example])])
    assert drawn[0] == drawn[1] != drawn[2]


def test_learning_draws_from_a_generator_of_its_own(make_nlp):
    nlp = make_nlp()
    example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
    nlp.initialize(lambda: [example])
    state = random.getstate()
    nlp.update([example])
    assert random.getstate() == state


def test_training_reads_the_descriptions_that_a_doc_brings(make_nlp):
    nlp = make_nlp(labels=["person"])
    doc = nlp.make_doc("Ada works for Acme")
    doc._.gliner_labels = [{"name": "ORG", "description": "company"}]
    example = Example.from_dict(doc, {"entities": [(14, 18, "ORG")]})
    ((query, gold, _),) = nlp.get_pipe("gliner_ner").lessons([example])
    assert (query.labels, query.prompts) == (("ORG",), ("company",))
    assert [span[:3] for span in gold] == [(3, 4, "ORG")]


def test_gold_that_touches_white_space_is_learned_as_its_words(make_nlp):
    nlp = make_nlp(labels=["person"])
    predicted, reference = (Doc(nlp.vocab, words=[" ", "Ada", "met", "\n"]) for _ in range(2))
    reference.set_ents([Span(reference, 0, 2, label="person")])
    ((query, gold, _),) = nlp.get_pipe("gliner_ner").lessons([Example(predicted, reference)])
    assert [(query.words[span.start : span.end], span.label) for span in gold] == [(("Ada",), "person")]


def missing_of(nlp, reference):
    (lesson,) = nlp.get_pipe("gliner_ner").lessons([Example(nlp.make_doc(reference.text), reference)])
    return lesson.missing


def test_tokens_whose_annotation_is_missing_are_not_learned(make_nlp):
    nlp = make_nlp()
    reference = nlp.make_doc("Bill founded  Microsoft in Seattle")
    reference.set_ents([Span(reference, 0, 1, label="person")], missing=[reference[3:4], reference[5:6]])
    assert missing_of(nlp, reference) == (2, 4)  # words, without white space
    reference.set_ents([Span(reference, 0, 1, label="person")])
    assert missing_of(nlp, reference) == ()


def test_tokens_of_gold_that_does_not_align_are_not_learned(make_nlp):
    nlp = make_nlp()
    reference = Doc(nlp.vocab, words=["New", "York", "-based", "Acme"], spaces=[True, False, True, False])
    reference.ents = [Span(reference, 0, 2, label="city"), Span(reference, 3, 4, label="company")]
    predicted = Doc(nlp.vocab, words=["New", "York-based", "Acme"])
    (lesson,) = nlp.get_pipe("gliner_ner").lessons([Example(predicted, reference)])
    assert (lesson.missing, [span.label for span in lesson.gold]) == ((0, 1), ["company"])


def test_a_row_can_say_what_is_missing(make_nlp, write):
    row = {"tokens": ["Bill", "met", "Ada"], "spans": [[0, 0, "person"]], "missing": [[2, 2]]}
    nlp = make_nlp()
    (lesson,) = nlp.get_pipe("gliner_ner").lessons(list(JsonCorpus(write("rows", row))(nlp)))
    assert lesson.missing == (2,)


def test_a_row_whose_missing_tokens_are_not_its_own_is_an_error(make_nlp, write):
    path = write("rows", {"tokens": ["Bill"], "spans": [], "missing": [[0, 1]]})
    with pytest.raises(ValueError, match="line 1: span .* outside the row's 1 tokens"):
        list(JsonCorpus(path)(make_nlp()))


@pytest.mark.parametrize(
    ("source", "first", "second"),
    [
        ("given", {"person", "company", "river"}, {"city", "river"}),
        ("batch", {"person", "company"}, {"city"}),
        ("corpus", {"person", "company"}, {"person", "company", "city"}),
    ],
)
def test_negatives_come_from_where_the_config_says(make_nlp, source, first, second):
    settings = {"@misc": "spacy_gliner.sample_labels.v1", "negatives_from": source}
    nlp = make_nlp(labels=["river"], sample_labels=settings)

    def asked(*labels):
        texts = [Example.from_dict(nlp.make_doc("Bill left"), {"entities": [(0, 4, label)]}) for label in labels]
        lessons = [lesson for _ in range(30) for lesson in nlp.get_pipe("gliner_ner").lessons(texts)]
        return {label for lesson in lessons for label in lesson.query.labels}

    assert asked("person", "company") == first
    assert asked("city") == second


@pytest.mark.parametrize(
    ("freeze", "same"),
    [
        ("nothing", []),
        ("embeddings", ["embeddings"]),
        (1, ["embeddings", "layer.0"]),
        ("backbone", ["embeddings", "layer.0", "layer.1"]),
    ],
)
def test_training_leaves_what_is_frozen_as_it_is(tiny_checkpoint, freeze, same):
    nlp = spacy.blank("en")
    model = {"source": {"name": str(tiny_checkpoint)}, "freeze": freeze}
    shim = shim_of(nlp.add_pipe("gliner_ner", config={"labels": ["person", "city"], "model": model}).model)
    before = {name: weight.clone() for name, weight in shim.network.state_dict().items()}
    example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
    nlp.update([example], sgd=AdamW(1e-3, 1e-3))
    after = shim.network.state_dict()
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    backbone = {name for name in before if name.startswith("encoder.transformer.")}
    frozen = {name for name in backbone if any(f".{part}" in name for part in same)}
    assert frozen <= unchanged
    assert not {name for name in before if ".layer." in name and "weight" in name and name not in frozen} & unchanged
    assert not {name for name in before if name.startswith("head.")} & unchanged


def test_more_frozen_layers_than_there_are_is_an_error(tiny_checkpoint):
    nlp = spacy.blank("en")
    model = {"source": {"name": str(tiny_checkpoint)}, "freeze": 3}
    nlp.add_pipe("gliner_ner", config={"labels": ["person"], "model": model})
    example = Example.from_dict(nlp.make_doc("Bill"), {"entities": [(0, 4, "person")]})
    with pytest.raises(ValueError, match="freeze = 3, but the backbone has 2 layers"):
        nlp.update([example], sgd=AdamW())


def test_lower_layers_learn_more_slowly_if_told_so(make_nlp):
    nlp = make_nlp()
    network = shim_of(nlp.get_pipe("gliner_ner").model).network
    rates = {
        name: group["scale"]
        for group in parameter_groups(network, layer_decay=0.5)
        for name, parameter in network.named_parameters()
        if any(parameter is other for other in group["params"])
    }
    assert len(rates) == len(list(network.parameters()))
    scales = {key: {scale for name, scale in rates.items() if key in name} for key in ("embeddings", "r.0.", "r.1.")}
    assert scales == {"embeddings": {0.25}, "r.0.": {0.5}, "r.1.": {1.0}}
    assert {scale for name, scale in rates.items() if name.startswith("head.")} == {1.0}


@pytest.mark.parametrize(
    "freeze, learns",
    [
        ("nothing", {"encoder.transformer", "encoder.labels.transformer", "encoder.labels.projection", "head"}),
        ("backbone", {"encoder.labels.projection", "head"}),
        ("labels", {"encoder.transformer", "head"}),
    ],
)
def test_both_backbones_of_a_bi_encoder_have_the_lower_rate_or_none(make_nlp, tiny_bi_checkpoint, freeze, learns):
    nlp = make_nlp(checkpoint=tiny_bi_checkpoint)
    network = copy.deepcopy(shim_of(nlp.get_pipe("gliner_ner").model).network)
    freeze_weights(network, freeze)
    parts = ("encoder.transformer", "encoder.labels.transformer", "encoder.labels.projection", "head")
    rates = {
        part: {
            group["backbone"]
            for group in parameter_groups(network)
            for name, parameter in network.named_parameters()
            if name.startswith(part + ".") and any(parameter is other for other in group["params"])
        }
        for part in parts
    }
    assert {part: found for part, found in rates.items() if found} == {
        part: {part.endswith("transformer")} for part in learns
    }


def test_training_in_mixed_precision_learns_about_the_same(tiny_checkpoint):
    losses = []
    for mixed_precision in (False, True):
        nlp = spacy.blank("en")
        model = {"source": {"name": str(tiny_checkpoint)}, "mixed_precision": mixed_precision}
        nlp.add_pipe("gliner_ner", config={"labels": ["person", "city"], "model": model})
        example = Example.from_dict(nlp.make_doc("Bill founded Microsoft"), {"entities": [(0, 4, "person")]})
        optimizer = AdamW(1e-3, 1e-3)
        fix_random_seed(0)
        losses.append([nlp.update([example], sgd=optimizer)["gliner_ner"] for _ in range(10)])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)
    assert losses[1][-1] < losses[1][0]


def test_rows_of_which_nothing_is_known_are_left_out(make_nlp, write):
    rows = [{"tokens": ["a", "b"], "spans": [], "missing": [[0, 1]]}, {"tokens": ["c"], "spans": []}]
    assert [example.reference.text.strip() for example in JsonCorpus(write("rows", *rows))(make_nlp())] == ["c"]


def test_what_is_gold_is_not_missing(make_nlp, write):
    row = {"tokens": ["New", "York", "City"], "spans": [[0, 1, "city"]], "missing": [[1, 2]]}
    nlp = make_nlp()
    (lesson,) = nlp.get_pipe("gliner_ner").lessons(list(JsonCorpus(write("rows", row))(nlp)))
    assert (lesson.missing, [span[:2] for span in lesson.gold]) == ((2,), [(0, 2)])
