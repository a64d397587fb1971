"""Tiny random networks with a tokenizer that has pieces for any English word, and other things that tests build."""

import string
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, DebertaV2Config, ModernBertConfig, PreTrainedTokenizerFast

from spacy_gliner.batching import PieceTokenizer, collate
from spacy_gliner.ml.checkpoints import Checkpoint
from spacy_gliner.nn.network import Network, NetworkConfig, build_network
from spacy_gliner.types import Batch, Query

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """
    a ada an and apple at babbage berlin bill born charles city company date founded from gates gold has he in is it
    jobs joined label lived location london lovelace marie microsoft met new of on organization paris person product
    said she seattle some steve text the they to was were who with word works york
""".split()
ENDINGS = ["##ed", "##er", "##ing", "##ion", "##ly", "##s"]

QUERIES = [
    Query(("Bill", "Gates", "founded", "Microsoft", "in", "Seattle", "."), ("person", "company", "city")),
    Query(("Ada", "met", "Babbage"), ("person",)),
    Query(
        tuple("the company of Steve Jobs works with some word and an apple from New York City".split()), ("city", "it")
    ),
    Query(("Paris",), ("location", "person", "organization", "date"), ("a city", "who?", "any company", "when")),
]


def tiny_tokenizer() -> Tokenizer:
    """WordPiece with BERT's normalizer: letters, digits and ASCII symbols are pieces, control characters are none."""
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [*SPECIAL, *string.punctuation, *letters, *(f"##{letter}" for letter in letters), *WORDS, *ENDINGS]
    vocabulary = {piece: row for row, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(special, vocabulary[special]) for special in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def tiny_bert(**settings) -> dict:
    """The configuration of a BERT that reads at most 128 pieces."""
    return BertConfig(
        **{
            "vocab_size": tiny_tokenizer().get_vocab_size(),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 128,
            "type_vocab_size": 2,
            "initializer_range": 0.2,
            "pad_token_id": 0,
            **settings,
        }
    ).to_dict()


def tiny_deberta(**settings) -> dict:
    """The configuration of a DeBERTa whose positions are relative, so that it reads any number of pieces."""
    return DebertaV2Config(
        **{
            "vocab_size": tiny_tokenizer().get_vocab_size(),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 64,
            "type_vocab_size": 0,
            "initializer_range": 0.2,
            "position_biased_input": False,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "pad_token_id": 0,
            **settings,
        }
    ).to_dict()


def tiny_modernbert(**settings) -> dict:
    """The configuration of a ModernBERT: rotary positions, local and global attention in turn."""
    return ModernBertConfig(
        **{
            "vocab_size": tiny_tokenizer().get_vocab_size(),
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "local_attention": 8,
            "max_position_embeddings": 256,
            "initializer_range": 0.2,
            "pad_token_id": 0,
            **settings,
        }
    ).to_dict()


def tiny_network_checkpoint(backbone: dict | None = None, *, seed: int = 5, **settings) -> Checkpoint:
    """A random network whose logits spread widely, with its tokenizer.

    **settings: Of the `NetworkConfig`; a token head of width 24 unless told otherwise.
    """
    apart = settings.get("label_backbone") is not None
    settings = {"lstm_layers": 0, **settings} if apart else settings
    tokenizer = PieceTokenizer(tiny_tokenizer(), label_tokenizer=tiny_tokenizer() if apart else None)
    if settings.get("links"):
        tokenizer = PieceTokenizer(tiny_tokenizer(), relation_marker="<<REL>>")
    backbone = {**(backbone or tiny_bert()), "vocab_size": len(tokenizer)}
    config = NetworkConfig(backbone, **{"head": "token", "width": 24, "max_width": 5, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config)
    spread(network, tokenizer)
    return Checkpoint(network, tokenizer)


AS_THEY_ARE = (
    "encoder.transformer.",
    "encoder.labels.transformer.",
    "encoder.fusion.",
    "head.context.",
    "head.markers.context.",
)


def spread(network: Network, tokenizer: PieceTokenizer) -> None:
    """Let scores come near 0 and near 1 and differ from word to word."""
    last = network.head.out_mlp.second if network.config.head == "token" else network.head.project_label.second
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith(AS_THEY_ARE):
                parameter *= 3.0 if parameter.ndim > 1 else 0.0
        last.weight *= 2.0 / torch.cat([scores.flatten() for scores in scores_of(network, tokenizer, QUERIES)]).std()


def save_tiny_backbone(folder: Path) -> Path:
    """A BERT with its tokenizer, as Hugging Face saves them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(BertConfig(**tiny_bert())).save_pretrained(folder)
    save_tokenizer(tiny_tokenizer(), folder)
    return folder


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """In the form that `AutoTokenizer` reads."""
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)


def scores_of(network: Network, tokenizer: PieceTokenizer, queries: list[Query]) -> list[Tensor]:
    """The network's logits, one tensor per query."""
    with torch.inference_mode():
        return network(numbers(queries, tokenizer)).per_query()


def numbers(queries: list[Query], tokenizer: PieceTokenizer) -> Batch:
    """The queries as a Batch; labels that are read apart as pieces."""
    batch = collate(queries, tokenizer)
    if batch.prompts_apart is None:
        return batch
    return replace(batch, labels_apart=tokenizer.label_pieces(batch.prompts_apart))


def assert_equal(ours: list[Tensor], theirs: list[Tensor], atol: float = 1e-5) -> None:
    """That two lists of tensors have the same shapes and, but for rounding, the same values."""
    assert [tuple(tensor.shape) for tensor in ours] == [tuple(tensor.shape) for tensor in theirs]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)
