"""The shim of a component that uses another's network: it predicts and trains with it, and saves nothing."""

from collections.abc import Callable
from typing import Any

from thinc.api import Model, Optimizer, Shim

from .shim import GlinerShim

Find = Callable[[str], Model[Any, Any] | None]


class BorrowingShim(Shim):
    """Stands for the shim of another component.

    component: The name of that component, the owner.
    find: Gives the model of a component by its name, None where there is none of that name; set when the component
        joins a pipeline.
    """

    def __init__(self, component: str) -> None:
        super().__init__(None)
        self.component = component
        self.find: Find | None = None
        self._owner: GlinerShim | None = None

    @property
    def owner(self) -> GlinerShim:
        """The owner's shim. Raises ValueError where the pipeline has no such component or it borrows itself."""
        if self.find is not None:
            model = self.find(self.component)
            shim = model.shims[0] if isinstance(model, Model) and model.shims else None
            if not isinstance(shim, GlinerShim):
                raise ValueError(
                    f"A component borrows the network of '{self.component}' (spacy_gliner.FromComponent.v1), but "
                    f"{_complaint(shim, model)} Add it, or give the component a source of its own."
                )
            self._owner = shim
        if self._owner is None:
            raise ValueError(f"The component that borrows from '{self.component}' is in no pipeline.")
        return self._owner

    def finish_update(self, optimizer: Optimizer) -> None:
        """A step of the owner, if a gradient arrived since its last one."""
        self.owner.finish_update(optimizer)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Nothing: the owner decides."""

    def to_bytes(self) -> bytes:
        """Nothing to save; but a pipeline without the owner would be of no use."""
        self.owner  # noqa: B018
        return b""

    def from_bytes(self, bytes_data: bytes) -> "BorrowingShim":
        """Nothing to load."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"component": self.component, "owner": self.owner, "id": self.id, "cfg": self.cfg}

    def __setstate__(self, state: dict[str, Any]) -> None:
        owner = state.pop("owner")
        self.__dict__.update(state, find=None, _owner=owner, _model=None, _optimizer=None)


def _complaint(shim: Any, model: Any) -> str:
    if model is None:
        return "the pipeline has no component of that name."
    if isinstance(shim, BorrowingShim):
        return "that one borrows its network too."
    return "that one is no component of spacy-gliner."
