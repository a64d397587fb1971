"""Checkpoint folders: what we write is read by us and by the reference library; old forms; what is wrong is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from gliner import GLiNER
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertModel, T5Config

from spacy_gliner.batching import PieceTokenizer
from spacy_gliner.ml import checkpoints
from spacy_gliner.ml.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from spacy_gliner.ml.sources import EMBEDDED
from spacy_gliner.ml.weights import load_weights, network_weights
from spacy_gliner.nn.context import context_config
from spacy_gliner.nn.network import NetworkConfig, build_network

from ..parity.reference import ask, assert_entities_equal, assert_logits_equal, reference_logits
from ..tiny import (
    QUERIES,
    assert_equal,
    numbers,
    scores_of,
    tiny_bert,
    tiny_deberta,
    tiny_modernbert,
    tiny_network_checkpoint,
    tiny_tokenizer,
)

TEXTS = ["Bill Gates founded Microsoft in Seattle.", "", "Paris", "Ada met Babbage, who lived in London (1833)."]
LABELS = ["person", "company", "city"]


def tiny_t5():
    return T5Config(
        vocab_size=tiny_tokenizer().get_vocab_size(), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4
    ).to_dict()


RNN, DEBERTA, MODERNBERT = (
    context_config({"model_type": kind, "hidden_size": size}, 24)
    for kind, size in (("rnn", 16), ("deberta-v2", 16), ("modernbert", 24))
)
NETWORKS = {
    "token": {},
    "token without lstm": {"lstm_layers": 0, "span_score": "mean"},
    "markerV0, two lstm layers": {"head": "markerV0", "lstm_layers": 2, "backbone": tiny_deberta()},
    "marker without projection": {"head": "marker", "width": 32, "backbone": tiny_deberta()},
    "modernbert": {"head": "markerV0", "backbone": tiny_modernbert(), "max_width": 3, "max_words": 100},
    "joint": {"links": "mlp", "triples": "DistMult"},
    "joint, with weights of triples": {"links": "dot", "triples": "PairRE", "width": 768},
    "token, scored once more in context": {"represent_spans": True, "context": RNN},
    "markerV0 in context": {"head": "markerV0", "context": DEBERTA},
    "query in context": {"head": "query", "context": MODERNBERT},
    "t5 with tied embeddings": {"head": "markerV0", "backbone": tiny_t5()},
}


@pytest.fixture(params=list(NETWORKS))
def checkpoint(request):
    return tiny_network_checkpoint(**NETWORKS[request.param])


def scores(checkpoint):
    return scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES)


def copy_of(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def change_config(folder, remove=(), **values):
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text(encoding="utf8"))
    kept = {name: value for name, value in (config | values).items() if name not in remove or name in values}
    path.write_text(json.dumps(kept), encoding="utf8")


def change_weights(folder, change, metadata=None):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt", **(metadata or {})})


def test_what_is_written_is_read_again(checkpoint, tmp_path):
    write_checkpoint(checkpoint, tmp_path / "some" / "folder")
    again = read_checkpoint(tmp_path / "some" / "folder")
    assert_equal(scores(again), scores(checkpoint), atol=0)
    assert again.network.config.to_json() == checkpoint.network.config.to_json()
    assert not again.network.training


def test_half_precision_is_nearly_the_same(checkpoint, tmp_path):
    write_checkpoint(checkpoint, tmp_path / "full")
    write_checkpoint(checkpoint, tmp_path / "half", half=True)
    again = read_checkpoint(tmp_path / "half")
    assert_equal(scores(again), scores(checkpoint), atol=0.1)
    assert {tensor.dtype for tensor in network_weights(again.network).values()} <= {torch.float32, torch.int64}
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "joint"])  # see parity/test_joint.py
def test_the_reference_library_reads_what_we_write(name, tmp_path):
    checkpoint = tiny_network_checkpoint(**NETWORKS[name])
    write_checkpoint(checkpoint, tmp_path / "checkpoint")
    model = GLiNER.from_pretrained(str(tmp_path / "checkpoint"))
    texts = TEXTS[:1] if checkpoint.network.config.context else TEXTS  # in a batch, its contexts are read with padding
    asked = ask(texts, LABELS)
    if not checkpoint.network.config.represent_spans:
        assert_logits_equal(checkpoint, asked, reference_logits(model, texts, LABELS))
    if checkpoint.network.config.span_score == "minimum":
        mode = {"threshold": 0.2, "flat_ner": True, "multi_label": False}
        theirs = model.inference(texts, LABELS, **mode)
        theirs = theirs[0] if checkpoint.network.config.links else theirs  # and relations
        assert_entities_equal(checkpoint, asked, theirs, **mode)
    assert model.config.max_len == checkpoint.network.config.max_words


def test_other_markers_are_kept(tmp_path):
    plain = tiny_network_checkpoint()
    tokenizer = PieceTokenizer(tiny_tokenizer(), "[LABEL]", "[TEXT]")
    checkpoint = Checkpoint(plain.network, tokenizer)
    write_checkpoint(checkpoint, tmp_path / "checkpoint")
    again = read_checkpoint(tmp_path / "checkpoint")
    assert (again.tokenizer.label_marker, again.tokenizer.separator) == ("[LABEL]", "[TEXT]")
    assert_equal(scores(again), scores(checkpoint), atol=0)


NEW_SETTINGS = "encoder_config class_token_index vocab_size num_rnn_layers ent_token sep_token span_score".split()


def save_in_old_form(checkpoint, folder, backbone, **config):
    """As the first checkpoints were saved: `.bin` weights, no tokenizer, hardly a configuration."""
    write_checkpoint(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    pooler = BertModel(BertConfig(**tiny_bert())).pooler.state_dict()
    weights |= {f"token_rep_layer.bert_layer.model.pooler.{name}": tensor for name, tensor in pooler.items()}
    weights["token_rep_layer.bert_layer.model.embeddings.position_ids"] = torch.arange(128)[None]
    for path in folder.iterdir():
        if path.name != "gliner_config.json":
            path.unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    change_config(folder, remove=NEW_SETTINGS, model_name=str(backbone), has_rnn=True, lr_encoder="1e-5", **config)


def test_the_old_form_takes_tokenizer_and_configuration_from_the_backbone(tiny_backbone, tmp_path):
    checkpoint = tiny_network_checkpoint(head="markerV0")
    save_in_old_form(checkpoint, tmp_path / "old", tiny_backbone)
    again = read_checkpoint(tmp_path / "old")
    assert_equal(scores(again), scores(checkpoint), atol=0)
    write_checkpoint(again, tmp_path / "new")
    assert_equal(scores(read_checkpoint(tmp_path / "new")), scores(checkpoint), atol=0)


@pytest.mark.parametrize("lstm_layers", [0, 1, 2])
def test_the_lstm_is_what_the_weights_say(tiny_backbone, tmp_path, lstm_layers):
    checkpoint = tiny_network_checkpoint(lstm_layers=lstm_layers)
    save_in_old_form(checkpoint, tmp_path / "old", tiny_backbone, num_rnn_layers=1)
    again = read_checkpoint(tmp_path / "old")
    assert again.network.config.lstm_layers == lstm_layers
    assert_equal(scores(again), scores(checkpoint), atol=0)


def test_settings_of_the_hub_are_used_for_what_is_fetched(tiny_backbone, tmp_path, monkeypatch):
    save_in_old_form(tiny_network_checkpoint(), tmp_path / "old", tiny_backbone)
    seen = []
    for kind in ("AutoConfig", "AutoTokenizer"):
        original = getattr(__import__("transformers"), kind).from_pretrained

        def fetch(name, original=original, **settings):
            seen.append((name, settings.pop("cache_dir"), settings["local_files_only"]))
            return original(name, **settings)

        monkeypatch.setattr(f"transformers.{kind}.from_pretrained", fetch)
    monkeypatch.setattr(checkpoints, "_plain_tokenizer", lambda folder: None)  # as it is with a name on the hub
    read_checkpoint(tmp_path / "old", cache_dir="somewhere", local_files_only=True)
    assert seen == [(str(tiny_backbone), "somewhere", True)] * 2


class Malice:
    """Would write a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_of_weights_is_refused_and_not_run(tiny_checkpoint, tmp_path, zipped):
    folder = copy_of(tiny_checkpoint, tmp_path)
    (folder / "model.safetensors").unlink()
    weights = {"rnn.lstm.weight_ih_l0": Malice(tmp_path / "harm")}
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin holds more than weights and is not loaded"):
        read_checkpoint(folder)
    assert not (tmp_path / "harm").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "harm").exists(), "the file was harmless"


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"epoch": 3}, {"state": {"a": torch.zeros(2)}}, torch.zeros(2)])
def test_a_file_of_weights_that_holds_something_else_is_an_error(tiny_checkpoint, tmp_path, content):
    folder = copy_of(tiny_checkpoint, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        read_checkpoint(folder)


def test_weights_that_are_never_used_are_ignored(tiny_checkpoint, tmp_path):
    folder = copy_of(tiny_checkpoint, tmp_path)

    def add(weights):
        weights["cross_fuser.layers.0.0.self_attn.query_layer.weight"] = torch.zeros(2, 2)
        weights["token_rep_layer.bert_layer.model.pooler.dense.weight"] = torch.zeros(2, 2)
        weights["token_rep_layer.bert_layer.model.embeddings.position_ids"] = torch.zeros(1, 2)

    change_weights(folder, add)
    assert_equal(scores(read_checkpoint(folder)), scores(read_checkpoint(tiny_checkpoint)), atol=0)


def test_names_that_share_a_tensor_are_read_from_the_metadata(tiny_checkpoint, tmp_path):
    folder = copy_of(tiny_checkpoint, tmp_path)
    name, alias = "scorer.proj_token.bias", "scorer.proj_label.bias"
    change_weights(folder, lambda weights: weights.pop(alias), metadata={alias: name})
    network = read_checkpoint(folder).network
    assert torch.equal(network.head.proj_label.bias, network.head.proj_token.bias)


def test_tied_embeddings_are_saved_once(tmp_path):
    checkpoint = tiny_network_checkpoint(tiny_t5(), head="markerV0")
    write_checkpoint(checkpoint, tmp_path / "checkpoint")
    with safe_open(tmp_path / "checkpoint" / "model.safetensors", "pt") as file:
        names = [name for name in file.keys() if "shared" in name or "embed_tokens" in name]
    assert len(names) == 1


def test_names_of_compiled_networks_are_understood(tiny_checkpoint, tmp_path):
    folder = copy_of(tiny_checkpoint, tmp_path)

    def rename(weights):
        for name in list(weights):
            weights[name.replace("bert_layer.", "bert_layer._orig_mod.")] = weights.pop(name)

    change_weights(folder, rename)
    assert_equal(scores(read_checkpoint(folder)), scores(read_checkpoint(tiny_checkpoint)), atol=0)


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "model.bf16.safetensors"])
def test_weights_of_a_variant_are_found(tiny_checkpoint, tmp_path, name):
    folder = copy_of(tiny_checkpoint, tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    assert_equal(scores(read_checkpoint(folder)), scores(read_checkpoint(tiny_checkpoint)), atol=0)


def remove(name):
    return lambda folder: (folder / name).unlink()


def truncate(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:1000])


def set_config(**values):
    return lambda folder: change_config(folder, **values)


def set_weights(change):
    return lambda folder: change_weights(folder, change)


def fewer_rows(weights):
    name = "token_rep_layer.bert_layer.model.embeddings.word_embeddings.weight"
    weights[name] = weights[name][:-1].clone()


@pytest.mark.parametrize(
    "harm, error, words",
    [
        (shutil.rmtree, FileNotFoundError, ["No such checkpoint folder"]),
        (remove("gliner_config.json"), FileNotFoundError, ["not a GLiNER checkpoint", "gliner_config.json"]),
        (remove("model.safetensors"), FileNotFoundError, ["no weights", "model.safetensors", "pytorch_model.bin"]),
        (truncate("model.safetensors"), ValueError, ["model.safetensors", "can't be read", "truncated"]),
        (truncate("gliner_config.json"), ValueError, ["gliner_config.json", "not valid JSON"]),
        (set_config(encoder_config={"model_type": "bertha"}), ValueError, ["no encoder of type 'bertha'"]),
        (set_weights(lambda w: w.pop("scorer.out_mlp.3.bias")), ValueError, ["Missing: ", "out_mlp.3.bias"]),
        (set_weights(lambda w: w.pop("scorer.proj_label.weight")), ValueError, ["Missing: scorer.proj_label.weight"]),
        (set_weights(lambda w: w.pop("rnn.lstm.weight_hh_l0")), ValueError, ["Missing: ", "lstm.weight_hh_l0"]),
        (set_weights(lambda w: w.update({"gate.weight": torch.zeros(2)})), ValueError, ["Unexpected: gate.weight"]),
        (
            set_weights(lambda w: w.update({"scorer.out_mlp.3.bias": torch.zeros(7)})),
            ValueError,
            ["another shape", "out_mlp.3.bias (7,) instead of (3,)"],
        ),
        (
            set_weights(lambda w: w.pop("token_rep_layer.bert_layer.model.embeddings.word_embeddings.weight")),
            ValueError,
            ["no word embeddings"],
        ),
        (set_config(span_mode="markerV0"), ValueError, ["Missing: prompt_rep_layer.0.weight"]),
        (set_weights(fewer_rows), ValueError, ["markers the ids 170 and 171", "only 171 embedding rows"]),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_what_is_wrong_with_a_folder_is_said(tiny_checkpoint, tmp_path, harm, error, words):
    folder = copy_of(tiny_checkpoint, tmp_path)
    harm(folder)
    with pytest.raises(error) as caught:
        read_checkpoint(folder)
    for word in words:
        assert word in str(caught.value)
    if "bertha" not in words[0]:
        assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "values, what",
    [
        ({"labels_decoder": "gpt2"}, "a generative label decoder"),
        ({"relations_layer": "dot", "triples_layer": "ConvE"}, "triples_layer 'ConvE', which is none of UM, SE"),
        ({"precomputed_prompts_mode": True}, "precomputed prompts of a joint network, or without their names"),
        ({"model_type": "gliner_streaming_span"}, "a streaming network"),
        ({"subtoken_pooling": "sum"}, "subtoken_pooling 'sum'"),
        ({"span_mode": "token-level"}, "span_mode 'token-level'"),
        ({"span_mode": "lines", "labels_decoder": "gpt2"}, "are named) and span_mode 'lines'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_of_another_kind_are_refused_by_name(tiny_checkpoint, tmp_path, values, what):
    folder = copy_of(tiny_checkpoint, tmp_path)
    change_config(folder, **values)
    with pytest.raises(ValueError, match="Supported are uni-, bi- and poly-encoders") as caught:
        read_checkpoint(folder)
    assert what in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"labels_encoder": None, "relations_layer": None, "fuse_layers": False, "precomputed_prompts_mode": None},
        {"model_type": "gliner", "post_fusion_schema": "", "fine_tune": True, "max_types": 25, "log_dir": "logs"},
    ],
)
def test_settings_that_change_nothing_are_accepted(tiny_checkpoint, tmp_path, values):
    folder = copy_of(tiny_checkpoint, tmp_path)
    change_config(folder, **values)
    assert_equal(scores(read_checkpoint(folder)), scores(read_checkpoint(tiny_checkpoint)), atol=0)


@pytest.mark.parametrize("part", ["save_file", "_write_tokenizer"])
def test_a_failed_write_leaves_nothing_behind(tiny_checkpoint, tmp_path, monkeypatch, part):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, part, fail)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tiny_network_checkpoint(), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_an_old_checkpoint_as_it_was(tiny_checkpoint, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    folder = copy_of(tiny_checkpoint, tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(checkpoints, "_write_tokenizer", fail)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tiny_network_checkpoint(seed=9), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_writing_replaces_a_checkpoint(tiny_checkpoint, tmp_path):
    folder = copy_of(tiny_checkpoint, tmp_path)
    other = tiny_network_checkpoint(head="markerV0", seed=9)
    write_checkpoint(other, folder)
    assert_equal(scores(read_checkpoint(folder)), scores(other), atol=0)


def test_a_saved_folder_pads_with_the_padding_piece(tiny_checkpoint):
    config = json.loads((tiny_checkpoint / "tokenizer_config.json").read_text(encoding="utf8"))
    assert config["pad_token"] == "[PAD]"
    assert config["model_max_length"] == 128


def test_shape_and_values_are_checked_without_changing_the_network():
    network = build_network(NetworkConfig(tiny_bert(), "token", 24))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    changed = {name: tensor + 1 for name, tensor in before.items() if name != "head.out_mlp.3.bias"}
    with pytest.raises(ValueError, match="The weights of here don't fit"):
        load_weights(network, changed, where="here")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_long_lists_of_names_are_cut():
    network = build_network(NetworkConfig(tiny_bert(), "token", 24))
    with pytest.raises(ValueError, match=r"Missing: .* and \d+ more\.") as caught:
        load_weights(network, {}, where="here")
    assert len(str(caught.value)) < 1000


def test_a_damaged_tokenizer_is_an_error_that_names_its_folder(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    (folder / "tokenizer.json").write_text('{"version": ', encoding="utf8")
    with pytest.raises(ValueError, match="broken"):
        read_checkpoint(folder)


def test_a_config_that_is_no_object_is_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "list")
    (folder / "gliner_config.json").write_text("[]", encoding="utf8")
    with pytest.raises(ValueError, match="JSON object"):
        read_checkpoint(folder)


def test_an_unknown_span_score_is_an_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "odd")
    config = json.loads((folder / "gliner_config.json").read_text(encoding="utf8"))
    (folder / "gliner_config.json").write_text(json.dumps(config | {"span_score": "banana"}), encoding="utf8")
    with pytest.raises(ValueError, match="span_score must be one of minimum, mean"):
        read_checkpoint(folder)


def test_an_old_checkpoint_whose_backbone_is_out_of_reach_names_both(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "old")
    config = json.loads((folder / "gliner_config.json").read_text(encoding="utf8"))
    config |= {"encoder_config": None, "model_name": "nobody/nothing"}
    (folder / "gliner_config.json").write_text(json.dumps(config), encoding="utf8")
    with pytest.raises(FileNotFoundError, match="old needs .* 'nobody/nothing'"):
        read_checkpoint(folder, local_files_only=True)


def test_no_queries_are_normal_input(any_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(any_checkpoint)
    assert checkpoint.network(numbers([], checkpoint.tokenizer)).scores.shape == (0,)


def test_loading_leaves_the_random_generator_alone(tiny_checkpoint):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    read_checkpoint(tiny_checkpoint)
    assert torch.equal(torch.rand(2), expected)


def test_a_tokenizer_that_is_read_directly_is_what_the_hugging_face_library_reads(tiny_checkpoint):
    for folder in (tiny_checkpoint, EMBEDDED):
        direct = checkpoints._plain_tokenizer(folder)
        theirs = AutoTokenizer.from_pretrained(folder, use_fast=True).backend_tokenizer
        theirs.no_truncation(), theirs.no_padding()
        assert direct.to_str() == theirs.to_str()


@pytest.mark.parametrize(
    "change",
    [{"tokenizer_class": "BertTokenizer"}, {"added_tokens_decoder": {"7": {"content": "new", "special": True}}}],
)
def test_a_tokenizer_to_which_that_library_would_add_something_is_left_to_it(tiny_checkpoint, tmp_path, change):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "folder")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert checkpoints._plain_tokenizer(folder) is None


def test_weights_that_are_read_do_not_hang_on_their_file(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "folder")
    network = read_checkpoint(folder).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    size = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(bytes(size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
