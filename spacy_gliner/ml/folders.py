"""Folders that are written whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_nothing(folder: Path) -> Iterator[Path]:
    """A scratch folder; if nothing fails, its files move to `folder`, over those of the same names.

    After an error `folder` is as it was before.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        yield scratch
        for path in [path for path in scratch.rglob("*") if path.is_file()]:
            target = folder / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)  # some libraries write for the owner alone
            path.replace(target)
    finally:
        shutil.rmtree(scratch)
