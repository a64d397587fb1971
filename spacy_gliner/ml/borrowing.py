"""The shim of a component that uses another's network: it predicts and trains with it, and saves nothing."""

from collections.abc import Callable
from typing import Any

from thinc.api import Model, Optimizer, Shim

from .shim import GlinerShim

Find = Callable[[str], Any]


class BorrowingShim(Shim):
    """Stands for the shim of another component.

    component: The name of that component, the owner.
    find: Gives a component by its name, None where there is none; set when the component joins a pipeline. Raises
        ReferenceError when that pipeline is gone; then the owner is the one last seen there.
    """

    def __init__(self, component: str) -> None:
        super().__init__(None)
        self.component = component
        self.find: Find | None = None
        self._owner: GlinerShim | None = None

    def connect(self, find: Find) -> None:
        """Join a pipeline. The owner may be there already, or come later."""
        self.find = find
        self._owner = _owned(find(self.component))

    @property
    def owner(self) -> GlinerShim:
        """The owner's shim. Raises ValueError where the pipeline has no such component or it borrows itself."""
        if self.find is not None:
            try:
                component = self.find(self.component)
            except ReferenceError:  # taken over by another pipeline, as by add_pipe(source=…)
                self.find = None
            else:
                self._owner = _owned(component)
                if self._owner is None:
                    raise ValueError(
                        f"A component borrows the network of '{self.component}' (spacy_gliner.FromComponent.v1), but "
                        f"{_complaint(component)} Add it, or give the component a source of its own."
                    )
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


def _shims(component: Any) -> list[Shim]:
    model = getattr(component, "model", None)
    return model.shims if isinstance(model, Model) else []


def _owned(component: Any) -> GlinerShim | None:
    """The shim of a component that owns its network; None for any other component, and for none."""
    return next((shim for shim in _shims(component) if isinstance(shim, GlinerShim)), None)


def _complaint(component: Any) -> str:
    if component is None:
        return "the pipeline has no component of that name."
    if any(isinstance(shim, BorrowingShim) for shim in _shims(component)):
        return "that one borrows its network too."
    return "that one is no component of spacy-gliner."
