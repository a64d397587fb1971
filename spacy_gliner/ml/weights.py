"""Weights of published checkpoints: their files, and the names that they give to what our networks hold.

Does not know configurations or tokenizers; see `checkpoints`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..nn import bert
from ..nn.network import Network, NetworkConfig, build_network

WEIGHT_FILES = ("model.safetensors", "model.fp16.safetensors", "model.bf16.safetensors", "pytorch_model.bin")

SPANS, CONTEXT = "span_rep_layer.span_rep_layer.", "span_rep_layer.context_encoder."
# Names in published files -> names in our networks.
WEIGHT_NAMES = [
    ("token_rep_layer.bert_layer.model.", "encoder.transformer.backbone."),
    ("token_rep_layer.bert_layer.layers_fuser.", "encoder.transformer.layer_fusion."),
    ("token_rep_layer.projection.", "encoder.projection."),
    ("token_rep_layer.labels_encoder.model.", "encoder.labels.transformer.backbone."),
    ("token_rep_layer.labels_encoder.layers_fuser.", "encoder.labels.transformer.layer_fusion."),
    ("token_rep_layer.labels_projection.", "encoder.labels.projection."),
    ("precomputed_prompts", "encoder.labels.vectors"),
    ("cross_fuser.layers.", "encoder.fusion.layers."),
    ("rnn.lstm.", "encoder.lstm.lstm."),
    (SPANS, "head."),  # on the way in, `read_weights` is told which of these it is
    (SPANS, "head.spans."),
    (SPANS, "head.markers."),
    (CONTEXT, "head.context."),
    (CONTEXT, "head.markers.context."),
    ("prompt_rep_layer.", "head.project_label."),
    ("scorer.", "head."),
    ("pair_rep_layer.", "pairs.project_pair."),
    ("triples_score_layer.interaction.", "pairs.triples."),
    ("relations_rep_layer.relation_rep_layer.", "pairs.links."),
]
# Weights that the reference library stores and never uses: poolers and constant buffers; fusion layers of uni-encoders;
# the BiLSTM of bi-encoders.
UNUSED_PREFIXES = ("token_rep_layer.bert_layer.model.pooler.", "token_rep_layer.labels_encoder.model.pooler.")
UNUSED_IN_UNI_ENCODERS = "encoder.fusion."
UNUSED_IN_BI_ENCODERS = "encoder.lstm."
UNUSED_SUFFIXES = (".position_ids", ".token_type_ids", ".rotary_emb.inv_freq")


def read_weights(folder: Path, spans: str = "head.") -> dict[str, Tensor]:
    """The parameters of a checkpoint folder under our names, in fp32, without those that nothing uses.

    spans: Where, in our networks, those are that represent spans.
    Raises FileNotFoundError where there are none; ValueError for damaged files and for files with code in them, which
    is never run.
    """
    path = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder} holds no weights: expected one of {', '.join(WEIGHT_FILES)}.")
    try:
        if path.suffix == ".bin":
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                for alias, name in (file.metadata() or {}).items():
                    if name in state:
                        state[alias] = state[name]
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read; is it truncated or damaged? Fetch it again. ({error})") from error
    except Exception as error:  # torch raises UnpicklingError subclasses for code in the file
        raise ValueError(f"{path} holds more than weights and is not loaded: code, or no weights at all.") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path} does not hold weights by their names, as a GLiNER checkpoint does.")
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    return {
        _our_name(name, spans): tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in state.items()
        if not name.startswith(UNUSED_PREFIXES) and not name.endswith(UNUSED_SUFFIXES)
    }


def network_weights(network: Network) -> dict[str, Tensor]:
    """The network's parameters and buffers; of tensors that are shared (tied embeddings) only the first."""
    seen: dict[int, str] = {}
    state = {}
    for name, tensor in network.state_dict().items():
        if seen.setdefault(tensor.data_ptr(), name) == name or tensor.numel() == 0:
            state[name] = tensor.detach().cpu().contiguous()
    return state


def trained_network(config: NetworkConfig, state: Mapping[str, Tensor], *, where: str) -> Network:
    """A network with these weights. torch's random generator stays where it is. Raises ValueError as `load_weights`."""
    backbones = [backbone for backbone in (config.backbone, config.label_backbone) if backbone is not None]
    if all(bert.builds(backbone) for backbone in backbones) and not config.context and not config.fuse_layers:
        with torch.device("meta"):  # no random weights, which would only be overwritten
            network = build_network(config)
    else:
        with torch.random.fork_rng(devices=[]):
            network = build_network(config)
    load_weights(network, state, where=where)
    return network


def load_weights(network: Network, state: Mapping[str, Tensor], *, where: str) -> None:
    """Put weights into a network of their shape.

    where: Where they come from, for errors.
    Raises ValueError that names what is missing, unexpected or of another shape.
    """
    own = network.state_dict()
    places = {name: name if tensor.is_meta else tensor.data_ptr() for name, tensor in own.items()}
    loaded = {places[name] for name in state if name in own}
    problems = {
        "missing": [name for name in own if name not in state and places[name] not in loaded],
        "unexpected": [name for name in state if name not in own],
        "of another shape than the configuration says": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    if any(problems.values()):
        raise ValueError(
            f"The weights of {where} don't fit the network that its configuration describes. "
            + " ".join(f"{kind.capitalize()}: {_some(names)}." for kind, names in problems.items() if names)
        )
    network.load_state_dict(dict(state), strict=False, assign=any(tensor.is_meta for tensor in own.values()))


def _some(names: list[str], limit: int = 8) -> str:
    """Some names, as published files call them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(their_name, names[:limit])) + more


def _our_name(name: str, spans: str) -> str:
    if name.startswith(SPANS):
        return spans + name.removeprefix(SPANS)
    if name.startswith(CONTEXT):
        return ("head.markers.context." if spans == "head.markers." else "head.context.") + name.removeprefix(CONTEXT)
    for theirs, ours in WEIGHT_NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def their_name(name: str) -> str:
    """What published files call one of our parameters."""
    if name.startswith(("head.proj_token.", "head.proj_label.", "head.out_mlp.")):
        return "scorer." + name.removeprefix("head.")
    for theirs, ours in sorted(WEIGHT_NAMES, key=lambda pair: -len(pair[1])):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name
