"""The folder that annotated parts are written to: what was asked for, which parts are done, and what came of them.

A part is done when its file is there, and its file is there only when all of it was written. So it does not matter who
was killed when, or whether two workers once had the same part: what is missing is made, what is there is left alone.

    part-000000.jsonl, …    the rows of each part
    _job/manifest.json      what was asked for
    _job/part-000000.json   how many rows and errors, who wrote them and how long it took
    _SUCCESS                all parts are there
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.util import get_package_path, is_package

from .attempts import Attempts
from .parts import Part
from .writing import SUFFIXES, whole_file

Pipeline = str | Path | Callable[[], Language]
INSIDE = "_job"
SUCCESS = "_SUCCESS"


class Report(NamedTuple):
    """What became of all rows.

    rows: All of them, in all parts.
    errors: Those with an error.
    parts: All files that were written.
    resumed: Parts of an earlier run that were left as they are.
    """

    rows: int
    errors: int
    parts: int
    resumed: int


@dataclass(frozen=True)
class Job:
    """What is done with every part, and where the results go.

    folder: The folder of the output.
    kind: What kind of files is read.
    output_format: What kind is written.
    text: The column of the texts.
    prefix: Put before the names of the columns of results.
    batch_size: Texts that are given to the pipeline together.
    """

    folder: Path
    kind: str
    output_format: str
    text: str
    prefix: str
    batch_size: int

    def path_of(self, part: Part) -> Path:
        """The file of a part."""
        return self.folder / f"{name_of(part)}{SUFFIXES[self.output_format]}"

    def is_done(self, part: Part) -> bool:
        """Whether a part is written."""
        return self.path_of(part).is_file()

    def attempts(self, part: Part) -> Attempts:
        """What is remembered of the attempts at a part."""
        return Attempts(self.folder / INSIDE / f"{name_of(part)}.attempts")

    def note(self, part: Part, stats: dict[str, Any]) -> None:
        """Write down what came of a part, before its file is given its name."""
        write_json(self.folder / INSIDE / f"{name_of(part)}.json", stats)

    def stats(self, part: Part) -> dict[str, Any]:
        """What came of a part."""
        stats: dict[str, Any] = json.loads((self.folder / INSIDE / f"{name_of(part)}.json").read_bytes())
        return stats

    def begin(self, files: Sequence[dict[str, Any]], pipeline: Pipeline, rows_per_part: int) -> None:
        """Make the folder, or go on in it. Raises ValueError where it holds the output of something else."""
        settings = {key: value for key, value in asdict(self).items() if key not in ("folder", "batch_size")}
        manifest = {"files": list(files), "pipeline": identity(pipeline), "rows_per_part": rows_per_part, **settings}
        path = self.folder / INSIDE / "manifest.json"
        if path.is_file():
            check_same(self.folder, json.loads(path.read_bytes()), manifest)
            return
        if self.folder.is_dir() and any(not file.name.startswith(".") for file in self.folder.glob("[!_]*")):
            raise ValueError(f"The folder {self.folder} holds other files. Name a new one, or an empty one.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, manifest)

    def left(self, parts: Sequence[Part], *, retry_errors: bool = False) -> list[Part]:
        """The parts that are to be done; with `retry_errors` also those with errors, whose files are taken away."""
        if retry_errors:
            for part in parts:
                if self.is_done(part) and self.stats(part)["errors"]:
                    self.path_of(part).unlink()
        left = [part for part in parts if not self.is_done(part)]
        if left:
            (self.folder / SUCCESS).unlink(missing_ok=True)
        return left

    def finish(self, parts: Sequence[Part], resumed: int) -> Report:
        """Say that all is done. Raises ChildProcessError where a part is missing."""
        missing = [part for part in parts if not self.is_done(part)]
        if missing:
            raise ChildProcessError(f"{len(missing)} of {len(parts)} parts were not finished. Start again to go on.")
        stats = [self.stats(part) for part in parts]
        report = Report(sum(one["rows"] for one in stats), sum(one["errors"] for one in stats), len(parts), resumed)
        for rest in self.folder.rglob(".part-*"):  # of workers that were killed while they wrote
            rest.unlink(missing_ok=True)
        write_json(self.folder / SUCCESS, {"rows": report.rows, "errors": report.errors, "parts": report.parts})
        return report


def name_of(part: Part) -> str:
    """How the files of a part begin."""
    return f"part-{part.number:06}"


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=1).encode("utf8", "backslashreplace"))


def check_same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ValueError where what is asked for is not what the folder was begun with."""
    new = json.loads(json.dumps(new))
    changed = [name for name in new if new[name] != old.get(name)]
    if not changed:
        return
    name = changed[0]
    if name == "files":
        before, after = ({file["name"]: file for file in files} for files in (old["files"], new["files"]))
        other = next((file for file in {**before, **after} if before.get(file) != after.get(file)), "their order")
        difference = f"other files (the first that differs: {other})"
    elif name == "pipeline" and new[name]["name"] == old[name]["name"]:
        difference = f"other contents of the pipeline {old[name]['name']}"
    else:
        was, wanted = (value["name"] if name == "pipeline" else value for value in (old[name], new[name]))
        difference = f"{name} {was!r}, not {wanted!r}"
    raise ValueError(f"The output {folder} was begun with {difference}. Name another output, or go on with the same.")


def identity(pipeline: Pipeline) -> dict[str, str]:
    """What tells a pipeline from another: its name and, of a folder or package, a hash of all files.

    Raises ValueError for what is no pipeline, and OSError for one that is not there.
    """
    if isinstance(pipeline, Language):
        raise ValueError("Every worker loads the pipeline by itself. Save it with nlp.to_disk and name the folder.")
    if callable(pipeline):
        return {"name": getattr(pipeline, "__qualname__", type(pipeline).__qualname__)}
    folder = get_package_path(str(pipeline)) if is_package(str(pipeline)) else Path(pipeline)
    if not (folder / "config.cfg").is_file() and not is_package(str(pipeline)):
        raise FileNotFoundError(f"{pipeline} is neither the folder of a saved pipeline nor an installed one.")
    digest = hashlib.blake2b(digest_size=16)
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted(files):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return {"name": folder.resolve().name, "hash": digest.hexdigest()}
