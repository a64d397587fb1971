"""The networks that predict, for those that are trained and saved: made when they are first asked for, and shared."""

import threading
import weakref
from typing import NamedTuple

from ..nn.network import Network
from ..nn.precision import Precision, for_prediction

# None for the network itself, which its value would keep alive.
_made: "weakref.WeakKeyDictionary[Network, dict[Prediction, Network | None]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Prediction(NamedTuple):
    """How a network predicts; see `for_prediction`."""

    precision: Precision = "float32"
    packed: bool = True

    def network_of(self, network: Network) -> Network:
        """What predicts in place of a network; itself, where that is as it is."""
        made = _made.get(network, {})
        if self not in made:
            with _lock:
                made = _made.setdefault(network, {})
                if self not in made:
                    changed = for_prediction(network, self.precision, packed=self.packed)
                    made[self] = None if changed is network else changed
        return made[self] or network


AS_TRAINED = Prediction()


def weights_changed(network: Network) -> None:
    """Forget what was made of a network, since its weights are others now."""
    with _lock:
        _made.pop(network, None)
