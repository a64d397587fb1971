"""The pretrained backbone over packed pieces: any Hugging Face encoder, through one adapter.

Where there is a packed forward pass (`deberta`, `bert`, `modernbert`), it is taken. Otherwise sequences are padded,
only here, and unpadded before they are returned. Knows no words and no labels.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..batching import by_length
from ..transfer import on_accelerator, sent
from . import bert, deberta, modernbert
from .onednn import for_programs

PADDED_PIECES = 4096
# About as much padding costs a CPU what another pass costs (mostly, adding its gradients of all weights to the others).
# To an accelerator a pass costs far more, and padding less.
WASTED_PIECES = 96


class Transformer(nn.Module):
    """A Hugging Face encoder, or a BERT of our own, that reads ragged pieces.

    config: The encoder's Hugging Face configuration, as a dictionary with a `model_type`.
    fuse_layers: Whether all layers count, and not only the last.

    `max_pieces` is the longest sequence that the position embeddings allow; None where positions are relative.
    """

    def __init__(self, config: dict[str, Any], *, fuse_layers: bool = False) -> None:
        super().__init__()
        if bert.builds(config) and not fuse_layers:
            self.backbone: Any = bert.Bert(config)
        else:
            self.backbone = hugging_face_encoder(config)
        self.config = self.backbone.config
        if getattr(self.backbone, "pooler", None) is not None:
            self.backbone.pooler = None  # it would be computed and never read
        self.width = int(self.config.hidden_size)
        self.max_pieces = position_limit(self.config)
        self.layer_fusion = LayerFusion(int(self.config.num_hidden_layers), self.width) if fuse_layers else None
        self.packed = None if fuse_layers else packed_forward(self.backbone)

    def forward(self, piece_ids: Tensor, lengths: list[int], rows: Tensor | None = None) -> Tensor:
        """piece_ids (P), lengths of the sequences -> contextual vectors (P, D).

        rows: The rows (R) that are wanted, in place of all; the result is then (R, D).

        Sequences of similar length are padded together, so that little of the work is padding. Embeddings are looked up
        once for all of them: their gradient is as large as the vocabulary.
        """
        if not len(piece_ids):
            return next(self.parameters()).new_zeros(0, self.width)
        if self.packed is not None:
            padded = partial(for_programs, like=next(self.parameters()))
            if rows is None:
                return self.packed(padded(piece_ids), lengths)[: len(piece_ids)]
            return self.packed(padded(piece_ids), lengths, padded(rows))[: len(rows)]
        embedded = self.backbone.get_input_embeddings()(piece_ids)
        sequences = embedded.split(lengths)
        outputs: list[Tensor] = [piece_ids] * len(lengths)
        most_waste = PADDED_PIECES if on_accelerator(piece_ids.device) else WASTED_PIECES
        for in_pass in _passes(lengths, most_waste):
            together = nn.utils.rnn.pad_sequence([sequences[row] for row in in_pass], batch_first=True)
            sizes = sent(torch.tensor([lengths[row] for row in in_pass]), piece_ids.device)
            mask = torch.arange(together.shape[1], device=piece_ids.device) < sizes[:, None]
            hidden = self._hidden(together, mask)
            for row, vectors in zip(in_pass, hidden, strict=True):
                outputs[row] = vectors[: lengths[row]]
        read = torch.cat(outputs)
        return read if rows is None else read[rows]

    def _hidden(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """embedded (B, S, D), mask (B, S) -> (B, S, D)."""
        if self.layer_fusion is None:
            last: Tensor = self.backbone(inputs_embeds=embedded, attention_mask=mask.long()).last_hidden_state
            return last
        output = self.backbone(inputs_embeds=embedded, attention_mask=mask.long(), output_hidden_states=True)
        fused: Tensor = self.layer_fusion(torch.stack(output.hidden_states[1:], dim=1), mask)
        return fused


class LayerFusion(nn.Module):
    """A weighted sum of all layers, the weights from each sequence itself.

    `s = sigmoid(W2 relu(W1 mean over the pieces of squeeze(layer)))`, `output_projection(sum of s · layer)`.
    """

    def __init__(self, n_layers: int, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, 1)
        self.W1 = nn.Linear(n_layers, n_layers // 2)
        self.W2 = nn.Linear(n_layers // 2, n_layers)
        self.output_projection = nn.Linear(width, width)

    def forward(self, layers: Tensor, mask: Tensor) -> Tensor:
        """layers (B, N, S, D), mask (B, S) -> (B, S, D). Padding takes no part."""
        squeezed = self.squeeze(layers).squeeze(-1) * mask[:, None]
        means = squeezed.sum(dim=-1) / mask.sum(dim=-1, keepdim=True)
        weights = self.W2(self.W1(means).relu()).sigmoid()
        fused: Tensor = self.output_projection((weights[:, :, None, None] * layers).sum(dim=1))
        return fused


def _passes(lengths: Sequence[int], most_waste: int) -> Iterator[list[int]]:
    """Rows of similar lengths to be padded together, with `most_waste` pieces of padding at most."""
    for rows in by_length(lengths, max_pieces=PADDED_PIECES):
        first = n_pieces = 0
        for end, row in enumerate(rows):
            if lengths[row] * (end - first) - n_pieces > most_waste:
                yield rows[first:end]
                first, n_pieces = end, 0
            n_pieces += lengths[row]
        yield rows[first:]


def hugging_face_config(config: dict[str, Any]) -> Any:
    """The configuration object for a dictionary; a missing `model_type` means `deberta-v2`.

    Raises ValueError when transformers does not know the model type.
    """
    from transformers import AutoConfig

    values = dict(config)
    model_type = values.pop("model_type", None) or "deberta-v2"
    try:
        return AutoConfig.for_model(model_type, **values)
    except ValueError as error:
        raise ValueError(
            f"The installed transformers library knows no encoder of type '{model_type}'. Check `model_type` in the "
            f"checkpoint's encoder configuration, or install a version of transformers that has it."
        ) from error


def position_limit(config: Any) -> int | None:
    """How many pieces an encoder with this configuration can tell the positions of; None for any number."""
    if config.model_type in ("deberta", "deberta-v2") and not getattr(config, "position_biased_input", True):
        return None
    if config.model_type in ("t5", "mt5", "umt5"):
        return None
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl"):
        limit -= (config.pad_token_id or 0) + 1  # their positions start behind the padding index
    return int(limit)


Packed = bert.PackedBert | deberta.PackedDeberta | modernbert.PackedModernBert


def packed_forward(backbone: Any) -> Packed | None:
    """The packed forward pass for a backbone, where there is one."""
    if deberta.reads(backbone.config):
        return deberta.PackedDeberta(backbone)
    if bert.reads(backbone.config):
        return bert.PackedBert(backbone)
    if modernbert.reads(backbone.config):
        return modernbert.PackedModernBert(backbone)
    return None


def hugging_face_encoder(config: dict[str, Any]) -> Any:
    """The encoder of the Hugging Face library, with random weights."""
    settings = hugging_face_config(config)
    if settings.model_type in ("t5", "mt5", "umt5"):
        from transformers import MT5EncoderModel, T5EncoderModel, UMT5EncoderModel

        return {"t5": T5EncoderModel, "mt5": MT5EncoderModel, "umt5": UMT5EncoderModel}[settings.model_type](settings)
    from transformers import AutoModel

    return AutoModel.from_config(settings)


def unpack_all(network: nn.Module) -> None:
    """Have all transformers of a network read as the Hugging Face library does."""
    for module in list(network.modules()):
        if isinstance(module, Transformer) and module.packed is not None:
            unpack(module)


def unpack(transformer: Transformer) -> None:
    """Have a transformer read as the Hugging Face library does, with the same weights."""
    if isinstance(transformer.backbone, bert.Bert):
        weights = transformer.backbone.state_dict(keep_vars=True)
        with torch.random.fork_rng(devices=[]):
            transformer.backbone = hugging_face_encoder(transformer.config.to_dict()).train(transformer.training)
        transformer.backbone.pooler = None
        transformer.backbone.load_state_dict(weights, assign=True)
    transformer.packed = None
