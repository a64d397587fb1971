"""A second encoder, over the words of each text, before spans are represented: published `span_encoder_config`."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ..transfer import sent
from .transformer import hugging_face_config


class ContextEncoder(nn.Module):
    """Layers of DeBERTa or ModernBERT, or an LSTM, over words: (W, D) and lengths -> (W, D).

    width: Of the vectors; where the encoder's own is another, there are projections before and behind it.
    config: With a `model_type`: "deberta-v2", "modernbert" or "rnn".
    """

    def __init__(self, width: int, config: dict[str, Any]) -> None:
        super().__init__()
        own = int(config["hidden_size"])
        self.input_projection = nn.Linear(width, own) if own != width else nn.Identity()
        self.output_projection = nn.Linear(own, width) if own != width else nn.Identity()
        if config["model_type"] == "rnn":
            n_layers, both_ways = int(config["num_hidden_layers"]), bool(config.get("bidirectional", True))
            size = own // 2 if both_ways else own
            self.encoder: nn.Module = nn.LSTM(own, size, n_layers, bidirectional=both_ways, batch_first=True)
        else:
            from transformers import AutoModel
            from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder

            shape = hugging_face_config(config)
            self.layers_alone = config["model_type"] == "deberta-v2"
            self.encoder = DebertaV2Encoder(shape) if self.layers_alone else AutoModel.from_config(shape)

    def forward(self, words: Tensor, lengths: list[int]) -> Tensor:
        """Read every text; texts without words take no part."""
        texts = [text for text in self.input_projection(words).split(lengths) if len(text)]
        if not texts:
            return words
        if isinstance(self.encoder, nn.LSTM):
            read, _ = self.encoder(nn.utils.rnn.pack_sequence(texts, enforce_sorted=False))
            texts = nn.utils.rnn.unpack_sequence(read)
        else:
            padded = nn.utils.rnn.pad_sequence(texts, batch_first=True)
            sizes = sent(torch.tensor([len(text) for text in texts]), words.device)
            mask = (torch.arange(padded.shape[1], device=words.device) < sizes[:, None]).long()
            hidden = self._read(padded, mask)
            texts = [vectors[: len(text)] for vectors, text in zip(hidden, texts, strict=True)]
        encoded: Tensor = self.output_projection(torch.cat(texts))
        return encoded

    def _read(self, padded: Tensor, mask: Tensor) -> Tensor:
        """padded (B, S, D), mask (B, S) -> (B, S, D)."""
        if self.layers_alone:
            return cast(Tensor, self.encoder(padded, attention_mask=mask, return_dict=True).last_hidden_state)
        return cast(Tensor, self.encoder(inputs_embeds=padded, attention_mask=mask).last_hidden_state)


def context_config(values: dict[str, Any], width: int) -> dict[str, Any]:
    """A whole configuration, from one that may leave out what the reference library has defaults for.

    Raises ValueError for a kind of encoder that is unknown.
    """
    if values.get("model_type") not in ("rnn", "deberta-v2", "modernbert"):
        raise ValueError(
            f"A context encoder (span_encoder_config) must have the model_type 'rnn', 'deberta-v2' or 'modernbert', "
            f"got {values.get('model_type')!r}."
        )
    own = int(values.get("hidden_size") or width)
    n_heads = next(n for n in range(max(1, own // 64), 0, -1) if own % n == 0)
    given: dict[str, Any] = {"hidden_size": own, "num_hidden_layers": 1}
    if values["model_type"] != "rnn":
        given |= {"num_attention_heads": n_heads, "intermediate_size": 4 * own}
    if values["model_type"] == "deberta-v2":
        given |= {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 512}
    if values["model_type"] == "modernbert":
        given |= {"vocab_size": 1} | dict.fromkeys(
            [f"{kind}_token_id" for kind in ("pad", "bos", "eos", "cls", "sep")], 0
        )
    return given | values
