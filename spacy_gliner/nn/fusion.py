"""The fusion of poly-encoders: words and labels read themselves and each other, in the order of a schema."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

BLOCKS = ("l2l", "t2t", "l2t", "t2l")


class Fusion(nn.Module):
    """Attention between the words and the labels of each query (GLiNER's poly-encoder).

    schema: Blocks with hyphens between them, such as "l2l-l2t-t2t": labels read labels ("l2l"), words words ("t2t"),
        labels the words ("l2t"), words the labels ("t2l"); each sees what those before it wrote.
    n_layers: How often the schema is gone through.
    n_heads: Attention heads.
    """

    def __init__(self, schema: str, *, width: int, n_layers: int, n_heads: int) -> None:
        super().__init__()
        self.blocks = parse_schema(schema)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                SelfBlock(width, n_heads) if block in ("l2l", "t2t") else CrossBlock(width, n_heads)
                for block in self.blocks
            )
            for _ in range(n_layers)
        )

    def forward(
        self, words: Tensor, word_lengths: list[int], labels: Tensor, label_lengths: list[int]
    ) -> tuple[Tensor, Tensor]:
        """words (W, D), labels (C, D), and how many each query has -> both, fused, in the same shapes."""
        fused = [
            self._fuse(*query) for query in zip(words.split(word_lengths), labels.split(label_lengths), strict=True)
        ]
        if not fused:
            return words, labels
        return torch.cat([texts for texts, _ in fused]), torch.cat([asked for _, asked in fused])

    def _fuse(self, words: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            for block, attend in zip(self.blocks, layer, strict=True):  # type: ignore[call-overload]
                if block == "l2l":
                    labels = attend(labels)
                elif block == "t2t":
                    words = attend(words)
                elif block == "l2t":
                    labels = attend(labels, words)
                else:
                    words = attend(words, labels)
        return words, labels


class Attention(nn.Module):
    """Scaled dot-product attention in several heads, without a projection of its output."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query_layer = nn.Linear(width, width)
        self.key_layer = nn.Linear(width, width)
        self.value_layer = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries (Q, D), keys and values (N, D) -> (Q, D); zeros where N is 0."""
        if not len(keys) or not len(queries):
            return queries.new_zeros(queries.shape)
        heads = [
            layer(rows).view(len(rows), self.n_heads, -1).transpose(0, 1)
            for layer, rows in ((self.query_layer, queries), (self.key_layer, keys), (self.value_layer, values))
        ]
        return scaled_dot_product_attention(*heads).transpose(0, 1).reshape(queries.shape)


class SelfBlock(nn.Module):
    """`post_norm(x' + attention(q_proj(x'), k_proj(x'), v_proj(x')))` with `x' = pre_norm(x)`.

    The attention projects a second time, and what is added is the normed input: so published networks were trained.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, n_heads)
        self.pre_norm, self.post_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))

    def forward(self, rows: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        rows = self.pre_norm(rows)
        out: Tensor = self.post_norm(rows + self.self_attn(self.q_proj(rows), self.k_proj(rows), self.v_proj(rows)))
        return out


class CrossBlock(nn.Module):
    """`post_norm(q' + attention(q', keys, v_proj(keys)))` with `q' = pre_norm(queries)`."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.cross_attn = Attention(width, n_heads)
        self.pre_norm, self.post_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.v_proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(Q, D), (N, D) -> (Q, D)."""
        queries = self.pre_norm(queries)
        out: Tensor = self.post_norm(queries + self.cross_attn(queries, keys, self.v_proj(keys)))
        return out


def parse_schema(schema: str) -> list[str]:
    """The blocks of a schema. Raises ValueError for anything else."""
    blocks = schema.split("-")
    unknown = [block for block in blocks if block not in BLOCKS]
    if unknown:
        raise ValueError(
            f"A fusion is made of {', '.join(BLOCKS)} with hyphens between them, such as 'l2l-l2t-t2t'; got {schema!r}."
        )
    return blocks
