"""Networks of sources, as long as some component uses them: what loads the same is shared for prediction."""

import logging
import threading
import weakref
from collections.abc import Hashable

import torch

from ..batching import PieceTokenizer
from ..nn.layout import by_input
from ..nn.network import Network
from .label_table import LabelTable
from .sources import NewNetwork, Source

logger = logging.getLogger("spacy_gliner")

_shared: "weakref.WeakValueDictionary[tuple[Hashable, str], Network]" = weakref.WeakValueDictionary()
_tokenizers: "weakref.WeakKeyDictionary[Network, PieceTokenizer]" = weakref.WeakKeyDictionary()
_label_tables: "weakref.WeakKeyDictionary[Network, LabelTable]" = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def loaded(source: Source, device: torch.device, width: int) -> tuple[Network, PieceTokenizer, bool]:
    """The network that somebody else has from the same source, or else what the source gives.

    width: Of the vectors that another component gives; 0 where none does.
    RETURNS: The network, laid out for prediction, its tokenizer, and whether others may come to share it.
    """
    with _lock:
        identity = source.identity()
        network = _shared.get((identity, str(device)))
        if identity is None or network is None:
            checkpoint = source.on_vectors(width) if isinstance(source, NewNetwork) and width else source()
            network = checkpoint.network.to(device)
            by_input(network)
            _tokenizers[network] = checkpoint.tokenizer
            if identity is not None:
                _shared[identity, str(device)] = network
            logger.info("Loaded %s; it runs on %s.", source, device)
        return network, _tokenizers[network], identity is not None


def label_table_of(network: Network) -> LabelTable:
    """The vectors of labels that a network reads apart from the text; empty for other networks."""
    with _lock:
        return _label_tables.setdefault(network, LabelTable())
