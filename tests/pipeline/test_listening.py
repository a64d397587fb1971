"""Networks that get the vectors of words from the transformer of the pipeline, by spacy-transformers."""

import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_gliner.batching import collate_vectors
from spacy_gliner.ml.architectures import shim_of
from spacy_gliner.training.checkpointing import checkpoints
from spacy_gliner.training.optimizers import AdamW
from spacy_gliner.types import Origin, Query

from .helpers import ents

pytest.importorskip("spacy_transformers")

TEXTS = {
    "Bill Gates founded Microsoft in Seattle .": [("Bill Gates", "person"), ("Microsoft", "company")],
    "Ada met Babbage in London .": [("Ada", "person"), ("Babbage", "person")],
    "it works in gold .": [],
}
LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "upstream": "*",
    "pooling": {"@layers": "reduce_mean.v1"},
}


@pytest.fixture
def make_nlp(tiny_backbone):
    """A function that makes a pipeline of a small transformer and a `gliner_ner` that listens to it."""

    def make(head="token", tok2vec=LISTENER, freeze="nothing", **config):
        nlp = spacy.blank("xx")
        spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 16, "stride": 12}
        transformer = {"@architectures": "spacy-transformers.TransformerModel.v3", "name": str(tiny_backbone)}
        nlp.add_pipe("transformer", config={"model": {**transformer, "get_spans": spans}})
        source = {"@misc": "spacy_gliner.NewNetwork.v1", "backbone": None, "label_backbone": str(tiny_backbone)}
        model = {
            "@architectures": "spacy_gliner.ListeningGLiNER.v1",
            "tok2vec": tok2vec,
            "freeze": freeze,
            "source": {**source, "head": head, "dropout": 0.0, "backbone_dropout": 0.0},
        }
        config = {"labels": ["person", "company"], "loss": {"alpha": 0.9}, "model": model, **config}
        nlp.add_pipe("gliner_ner", config=config)
        return nlp

    return make


def examples_of(nlp):
    return [example_of(nlp, text, named) for text, named in TEXTS.items()]


def example_of(nlp, text, named):
    reference = Doc(nlp.vocab, words=text.split())
    words = text.split()
    found = [(words.index(name.split()[0]), len(name.split()), label) for name, label in named]
    reference.ents = [Span(reference, start, start + size, label=label) for start, size, label in found]
    return Example(Doc(nlp.vocab, words=words), reference)


def learn(nlp, n_steps=200):
    fix_random_seed(0)
    examples = examples_of(nlp)
    nlp.initialize(lambda: examples)
    optimizer = AdamW(learn_rate=0.002, head_learn_rate=0.005, weight_decay=0.0)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)


def step(nlp, examples):
    """As `spacy train` does it: all components, and then one step for all."""
    nlp.update(examples, sgd=False)
    for _, pipe in nlp.pipeline:
        pipe.finish_update(AdamW(learn_rate=0.002))


def weights_of(nlp, name):
    return {key: value.clone() for key, value in nlp.get_pipe(name).model.shims[0]._model.state_dict().items()}


@pytest.fixture
def passes(monkeypatch):
    """How many Docs each call of the transformer read."""
    from spacy_transformers import Transformer

    seen = []
    predict = Transformer.predict
    monkeypatch.setattr(Transformer, "predict", lambda self, docs: seen.append(len(docs)) or predict(self, docs))
    return seen


@pytest.mark.parametrize("head", ["token", "markerV0"])
def test_it_learns_by_heart_and_survives_saving(make_nlp, tmp_path, head):
    nlp = make_nlp(head)
    learn(nlp)
    docs = list(nlp.pipe(TEXTS))
    assert [ents(doc) for doc in docs] == list(TEXTS.values())
    assert nlp.evaluate(examples_of(nlp))["ents_f"] == 1.0
    nlp.to_disk(tmp_path / "nlp")
    from_bytes = make_nlp(head).from_bytes(nlp.to_bytes())
    for other in (spacy.load(tmp_path / "nlp"), from_bytes):
        for doc, again in zip(docs, other.pipe(TEXTS), strict=True):
            assert ents(again) == ents(doc)
            scores = [other.spans["gliner_ner"].attrs["scores"] for other in (doc, again)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_the_transformer_reads_every_batch_once(make_nlp, passes):
    nlp = make_nlp(max_pieces=8, windows={"@misc": "spacy_gliner.strided_windows.v1", "size": 4, "stride": 2})
    learn(nlp, 1)
    passes.clear()
    list(nlp.pipe([*TEXTS] * 3, batch_size=9))
    assert passes == [9]


def test_transformer_and_network_learn_together(make_nlp):
    nlp = make_nlp()
    learn(nlp, 0)
    before = weights_of(nlp, "gliner_ner")
    transformer = nlp.get_pipe("transformer").model.to_bytes()
    step(nlp, examples_of(nlp))
    after = weights_of(nlp, "gliner_ner")
    assert any((after[name] != before[name]).any() for name in after)
    assert nlp.get_pipe("transformer").model.to_bytes() != transformer


def test_a_frozen_transformer_stays_as_it_is(make_nlp):
    nlp = make_nlp()
    learn(nlp, 0)
    transformer = nlp.get_pipe("transformer").model.to_bytes()
    optimizer = AdamW(learn_rate=0.002, head_learn_rate=0.01)
    first = last = None
    for _ in range(60):
        losses = nlp.update(
            examples_of(nlp), sgd=optimizer, losses={}, exclude=["transformer"], annotates=["transformer"]
        )
        first, last = first or losses["gliner_ner"], losses["gliner_ner"]
    assert nlp.get_pipe("transformer").model.to_bytes() == transformer
    assert last < 0.5 * first


def test_others_that_listen_learn_even_where_there_is_nothing_to_learn_for_us(make_nlp):
    nlp = make_nlp()
    listener = {"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}}
    nlp.add_pipe("tagger", before="gliner_ner", config=listener)
    words = ["Ada", "met", "Babbage"]
    example = Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, tags=["A", "B", "A"]))
    nlp.initialize(lambda: [example])
    before = nlp.get_pipe("transformer").model.to_bytes()
    for _ in range(2):  # in the first step a tagger has no gradient for the layers below
        step(nlp, [example])
    assert nlp.get_pipe("transformer").model.to_bytes() != before


def test_white_space_and_empty_texts_are_normal_input(make_nlp):
    nlp = make_nlp()
    learn(nlp)
    for text in TEXTS:
        spaced = nlp(text.replace(" ", "   "))
        assert [name.replace("   ", " ") for name, _ in ents(spaced)] == [name for name, _ in TEXTS[text]]
    assert [ents(doc) for doc in nlp.pipe(["", "  \n "])] == [[], []]
    empty = Example(nlp.make_doc(""), nlp.make_doc(""))
    nlp.update([empty], sgd=AdamW(learn_rate=0.001))


def test_a_long_text_is_read_to_its_end(make_nlp):
    nlp = make_nlp(windows={"@misc": "spacy_gliner.strided_windows.v1", "size": 20, "stride": 15})
    learn(nlp, 100)
    text = "it works in gold . " * 30 + "Bill Gates founded Microsoft in Seattle ."
    vectors = nlp.get_pipe("gliner_ner").model.layers[0].predict([nlp(text)])
    assert [len(rows) for rows in vectors] == [len(nlp.make_doc(text))]
    assert {"Microsoft"} <= {name for name, _ in ents(nlp(text))}


def test_labels_are_kept_as_in_every_bi_encoder(make_nlp, tmp_path):
    nlp = make_nlp()
    learn(nlp, 5)
    nlp.to_disk(tmp_path / "nlp")
    assert len(spacy.load(tmp_path / "nlp").get_pipe("gliner_ner").label_vectors) == 2


def test_spacys_own_vectors_do_as_well(make_nlp):
    embed = {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 32, "depth": 2}
    embed |= {"embed_size": 500, "window_size": 1, "maxout_pieces": 2, "subword_features": True}
    nlp = make_nlp(tok2vec=embed)
    nlp.remove_pipe("transformer")
    learn(nlp, 150)
    assert [ents(doc) for doc in nlp.pipe(TEXTS)] == list(TEXTS.values())


def test_a_training_goes_on_with_the_layers_that_give_vectors(make_nlp, tmp_path):
    embed = {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 16, "depth": 1}
    embed |= {"embed_size": 50, "window_size": 1, "maxout_pieces": 2, "subword_features": False}
    states = []
    for run in range(2):
        nlp = make_nlp(tok2vec=embed)
        nlp.remove_pipe("transformer")
        learn(nlp, 0)
        go_on = checkpoints(tmp_path / "state", every=3)
        for number in range(4 if run == 0 else 5):
            go_on(nlp, {"step": number, "epoch": 0, "losses": {}, "checkpoints": [], "seconds": 0, "words": 0})
            if run == 0 or number == 3:
                states.append(nlp.get_pipe("gliner_ner").model.layers[0].to_bytes())
            nlp.update(examples_of(nlp), sgd=AdamW(learn_rate=0.01))
    assert states[-1] == states[3]
    assert states[3] != states[0]


def test_given_vectors_come_to_the_device_of_the_network():
    query = Query(("a", "b"), ("x",), origin=Origin(0, (0, 1)))
    batch = collate_vectors([query], [torch.zeros(2, 4)])
    assert batch.to(torch.device("meta")).vectors.device.type == "meta"
    elsewhere = collate_vectors([query], [torch.zeros(2, 4, device="meta")])
    with pytest.raises(NotImplementedError):  # it tries to, and of this device nothing can be copied
        elsewhere.to(torch.device("cpu"))


def test_listeners_can_be_replaced(make_nlp):
    nlp = make_nlp()
    learn(nlp, 3)
    nlp.replace_listeners("transformer", "gliner_ner", ["model.tok2vec"])
    nlp.remove_pipe("transformer")
    step(nlp, examples_of(nlp))
    nlp("Ada met Babbage .")


def test_a_network_that_listens_can_not_be_borrowed(make_nlp):
    nlp = make_nlp()
    learn(nlp, 1)
    lent = {"source": {"@misc": "spacy_gliner.FromComponent.v1", "component": "gliner_ner"}}
    nlp.add_pipe("gliner_ner", name="other", config={"labels": ["city"], "model": lent})
    with pytest.raises(ValueError, match="can't be borrowed"):
        nlp("Ada met Babbage .")


def test_what_can_not_be_is_said(make_nlp, make_task_nlp, tmp_path):
    with pytest.raises(ValueError, match="needs a source of the kind .*backbone = null"):
        nlp = spacy.blank("xx")
        model = {"@architectures": "spacy_gliner.ListeningGLiNER.v1", "tok2vec": LISTENER}
        nlp.add_pipe("gliner_ner", config={"model": {**model, "source": {"@misc": "spacy_gliner.Checkpoint.v1"}}})
    nlp = make_nlp()
    with pytest.raises(ValueError, match="train the pipeline"):
        nlp.get_pipe("gliner_ner")(nlp.make_doc("Ada met Babbage ."))
    nlp.remove_pipe("transformer")
    with pytest.raises(ValueError, match="It isn't known how wide the vectors"):
        nlp.initialize()
    nlp = make_nlp()
    learn(nlp, 1)
    with pytest.raises(ValueError, match="no checkpoint by itself"):
        nlp.get_pipe("gliner_ner").to_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
    assert shim_of(nlp.get_pipe("gliner_ner").model).network.config.backbone is None
