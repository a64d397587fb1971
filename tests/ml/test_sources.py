"""Where networks come from: folders, the hub (stubbed: sockets are closed), and new ones around a backbone."""

import os
import shutil
from dataclasses import fields

import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from requests import Response

from spacy_gliner.ml import sources
from spacy_gliner.ml.checkpoints import read_checkpoint, write_checkpoint
from spacy_gliner.ml.sources import Checkpoint, NewNetwork

from ..tiny import QUERIES, assert_equal, scores_of


def scores(checkpoint):
    return scores_of(checkpoint.network, checkpoint.tokenizer, QUERIES)


@pytest.fixture
def hub(monkeypatch, tiny_checkpoint):
    """A hub that gives the tiny checkpoint for every name, and remembers what it was asked."""
    asked = []

    def snapshot_download(name, **settings):
        asked.append((name, settings))
        return str(tiny_checkpoint)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


@pytest.fixture
def no_hub(monkeypatch):
    """A hub that must not be asked."""

    def snapshot_download(*args, **settings):
        raise AssertionError(f"the hub was asked for {args}")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)


def test_a_folder_is_read_without_the_hub(no_hub, any_checkpoint):
    assert_equal(scores(Checkpoint(str(any_checkpoint))()), scores(read_checkpoint(any_checkpoint)), atol=0)


def test_a_relative_folder_is_a_folder(no_hub, tiny_checkpoint, monkeypatch):
    monkeypatch.chdir(tiny_checkpoint.parent)
    for name in ("token", "./token", os.path.join("..", tiny_checkpoint.parent.name, "token")):
        assert Checkpoint(name)().network.config.head == "token"


def test_a_folder_may_lie_in_the_home_directory(no_hub, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_checkpoint.parent))
    assert Checkpoint("~/token")().network.config.head == "token"


@pytest.mark.parametrize("name", ["./nothing", "../nothing", "/no/such/folder", "~/nothing", "a/b/c"])
def test_what_looks_like_a_folder_is_not_asked_of_the_hub(no_hub, name):
    with pytest.raises(FileNotFoundError, match="No such checkpoint folder"):
        Checkpoint(name)()


def test_embedded_is_the_folder_inside_the_package(no_hub, tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(sources, "EMBEDDED", tiny_checkpoint)
    assert Checkpoint() == Checkpoint("embedded")
    assert_equal(scores(Checkpoint()()), scores(read_checkpoint(tiny_checkpoint)), atol=0)


def test_a_name_is_asked_of_the_hub_with_its_settings(hub, tiny_checkpoint):
    source = Checkpoint("someone/gliner", revision="v2", cache_dir="somewhere", local_files_only=True)
    assert_equal(scores(source()), scores(read_checkpoint(tiny_checkpoint)), atol=0)
    ((name, settings),) = hub
    assert name == "someone/gliner"
    assert settings.items() >= {"revision": "v2", "cache_dir": "somewhere", "local_files_only": True}.items()
    assert "token" not in settings


def test_only_what_a_checkpoint_needs_is_downloaded(hub):
    Checkpoint("someone/gliner")()
    patterns = hub[0][1]["allow_patterns"]
    assert {"*.json", "*.safetensors", "pytorch_model.bin", "*.model", "*.txt"} == set(patterns)
    assert "onnx/*" in hub[0][1]["ignore_patterns"]


def test_a_token_is_no_setting():
    assert not any("token" in field.name for kind in (Checkpoint, NewNetwork) for field in fields(kind))


def hub_error():
    return HfHubHTTPError("404 Client Error", response=Response())


@pytest.mark.parametrize(
    "error",
    [hub_error(), LocalEntryNotFoundError("not in the cache"), ConnectionError("no network"), OSError("disk full")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_hub_does_not_give_is_an_error_that_names_the_checkpoint(monkeypatch, error):
    def snapshot_download(name, **settings):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'someone/gliner'.*huggingface-cli login") as caught:
        Checkpoint("someone/gliner")()
    assert type(error).__name__ in str(caught.value)


@pytest.mark.parametrize("name", ["no name", "", "someone/gliner/"])
def test_a_name_that_the_hub_cannot_have_is_the_same_error(name):
    with pytest.raises(FileNotFoundError):
        Checkpoint(name)()


def test_sources_are_equal_if_they_load_the_same(tiny_checkpoint, tiny_span_checkpoint):
    same = Checkpoint(str(tiny_checkpoint)).identity()
    assert same is not None
    assert same == Checkpoint(str(tiny_checkpoint)).identity()
    assert hash(same) == hash(Checkpoint(str(tiny_checkpoint)).identity())
    assert same != Checkpoint(str(tiny_span_checkpoint)).identity()
    assert Checkpoint("a/b").identity() != Checkpoint("a/b", revision="v2").identity()


def test_a_folder_that_changed_loads_something_else(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    before = Checkpoint(str(folder)).identity()
    os.utime(folder / "model.safetensors", (2e9, 2e9))
    assert Checkpoint(str(folder)).identity() != before


def test_a_new_network_puts_heads_on_the_pretrained_backbone(tiny_backbone):
    from transformers import AutoModel

    torch.manual_seed(0)
    checkpoint = NewNetwork(str(tiny_backbone))()
    pretrained = AutoModel.from_pretrained(tiny_backbone).state_dict()
    own = checkpoint.network.encoder.transformer.backbone.state_dict()
    assert set(pretrained) - set(own) == {"pooler.dense.weight", "pooler.dense.bias"}
    for name, tensor in own.items():
        n_rows = len(pretrained[name])
        assert torch.equal(tensor[:n_rows], pretrained[name]), name
    assert not checkpoint.network.training
    assert all(block.isfinite().all() for block in scores(checkpoint))


def test_the_markers_of_a_new_network_have_rows_of_their_own(tiny_backbone):
    checkpoint = NewNetwork(str(tiny_backbone))()
    embeddings = checkpoint.network.encoder.transformer.backbone.get_input_embeddings().weight
    tokenizer = checkpoint.tokenizer
    assert len(embeddings) == len(tokenizer) == checkpoint.network.config.backbone["vocab_size"]
    assert (tokenizer.label_marker_id, tokenizer.separator_id) == (len(tokenizer) - 2, len(tokenizer) - 1)


@pytest.mark.parametrize("head", ["token", "markerV0", "marker"])
def test_a_new_network_has_the_shape_that_was_asked_for(tiny_backbone, head):
    shape = {"head": head, "width": 20, "max_width": 7, "lstm_layers": 2, "dropout": 0.3, "span_score": "mean"}
    network = NewNetwork(str(tiny_backbone), **shape)().network
    assert vars(network.config).items() >= shape.items()
    assert network.encoder.projection.weight.shape == (20, 32)


def test_without_a_width_there_is_no_projection(tiny_backbone):
    network = NewNetwork(str(tiny_backbone))().network
    assert network.config.width == 32
    assert isinstance(network.encoder.projection, torch.nn.Identity)


def dropouts(network):
    config = network.encoder.transformer.backbone.config
    return {config.hidden_dropout_prob, config.attention_probs_dropout_prob}


def test_the_dropout_of_the_backbone_can_be_set(tiny_backbone):
    assert dropouts(NewNetwork(str(tiny_backbone))().network) == {0.1}
    network = NewNetwork(str(tiny_backbone), backbone_dropout=0.0, dropout=0.2)().network
    assert dropouts(network) == {0.0}
    assert network.config.backbone["attention_probs_dropout_prob"] == 0.0
    assert network.config.dropout == 0.2


def test_new_networks_are_never_the_same(tiny_backbone):
    assert NewNetwork(str(tiny_backbone)).identity() is None


def test_a_new_head_can_stand_on_the_encoder_of_a_checkpoint(tiny_checkpoint):
    trained = read_checkpoint(tiny_checkpoint)
    new = NewNetwork(str(tiny_checkpoint), head="markerV0", max_width=3)()
    before, after = (c.network.encoder.transformer.state_dict() for c in (trained, new))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert new.network.config.head == "markerV0"
    assert new.tokenizer.label_marker_id == trained.tokenizer.label_marker_id
    assert len(scores(new)) == len(scores(trained))


@pytest.mark.parametrize("fusion", ["", "l2l-t2l"])
def test_labels_can_have_an_encoder_of_their_own(tiny_backbone, tiny_checkpoint, fusion, tmp_path):
    new = NewNetwork(str(tiny_backbone), head="markerV0", label_backbone=str(tiny_checkpoint), fusion=fusion)()
    trained = read_checkpoint(tiny_checkpoint).network.encoder.transformer.state_dict()
    own = new.network.encoder.labels.transformer.state_dict()
    assert all(torch.equal(trained[name], own[name]) for name in trained)
    assert new.tokenizer.labels_apart
    assert (new.network.config.lstm_layers, new.network.config.fusion) == (0, fusion)
    write_checkpoint(new, tmp_path / "bi")
    assert_equal(scores(read_checkpoint(tmp_path / "bi")), scores(new))


def test_new_heads_can_stand_on_either_encoder_of_a_bi_encoder(tiny_bi_checkpoint):
    trained = read_checkpoint(tiny_bi_checkpoint).network.encoder
    uni = NewNetwork(str(tiny_bi_checkpoint))()
    assert not uni.tokenizer.labels_apart
    assert all(block.isfinite().all() for block in scores(uni))
    bi = NewNetwork(str(tiny_bi_checkpoint), label_backbone=str(tiny_bi_checkpoint))().network.encoder
    for own, before in ((bi.transformer, trained.transformer), (bi.labels.transformer, trained.labels.transformer)):
        weights = before.state_dict()
        assert all(
            torch.equal(tensor[: len(weights[name])], weights[name]) for name, tensor in own.state_dict().items()
        )


def test_a_fusion_needs_a_width_that_its_heads_can_share(tiny_backbone):
    with pytest.raises(ValueError, match="heads as the backbone, 4, .* 30 can't be divided"):
        NewNetwork(str(tiny_backbone), width=30, label_backbone=str(tiny_backbone), fusion="l2l")()
