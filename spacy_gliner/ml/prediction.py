"""The networks that predict, for those that are trained and saved: made when they are first asked for, and shared."""

import threading
import weakref
from typing import NamedTuple

from ..nn.network import Network
from ..nn.onednn import has_faster_onednn
from ..nn.precision import Precision, for_prediction

_made: "weakref.WeakKeyDictionary[Network, dict[Prediction, Network]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Prediction(NamedTuple):
    """How a network predicts; see `for_prediction`."""

    precision: Precision = "float32"
    packed: bool = True

    def network_of(self, network: Network) -> Network:
        """What predicts in place of a network; itself, where that is as it is."""
        if self == AS_TRAINED and not has_faster_onednn():
            return network
        known = _made.get(network, {}).get(self)
        if known is not None:
            return known
        with _lock:
            made = _made.setdefault(network, {})
            if self not in made:
                made[self] = for_prediction(network, self.precision, packed=self.packed)
            return made[self]


AS_TRAINED = Prediction()


def weights_changed(network: Network) -> None:
    """Forget what was made of a network, since its weights are others now."""
    with _lock:
        _made.pop(network, None)
