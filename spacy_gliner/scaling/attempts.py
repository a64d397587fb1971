"""What is remembered of the attempts at a part, so that a text that ends the worker's process is found and passed over.

An attempt that was killed leaves its lines behind. After a second one, rows are tried one by one and each is written
down before: a row on which the process ended twice is an error, and the part can be finished.
begin, begin, begin, 0, 1, begin, 0, 1, begin -> row 1 has ended the process twice
"""

from collections import Counter
from pathlib import Path

BY_ITSELF_AFTER = 2  # attempts with whole batches
ROW_ATTEMPTS = 2
PART_ATTEMPTS = 20  # then the worker itself can't live, for want of memory for instance
BEGIN, END = "begin", "end"


class Attempts:
    """The attempts at one part.

    path: The file that remembers them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf8").splitlines() if path.is_file() else []
        self.number = lines.count(BEGIN)
        following = [*lines[1:], BEGIN]
        self.ended = Counter(line for line, then in zip(lines, following, strict=False) if then == BEGIN)

    @property
    def row_by_row(self) -> bool:
        """Whether rows are to be tried one by one."""
        return self.number >= BY_ITSELF_AFTER

    def begin(self) -> None:
        """Remember a new attempt. Raises ChildProcessError when there were too many."""
        if self.number >= PART_ATTEMPTS:
            self.forget()
            raise ChildProcessError(
                f"The worker's process ended {PART_ATTEMPTS} times in one part of the data. Is there memory enough for "
                "the pipeline in every worker? Start again to go on."
            )
        self._write(BEGIN)

    def before(self, row: int) -> str | None:
        """Remember that a row is tried now; an error where that has ended the process too often."""
        if self.ended[str(row)] >= ROW_ATTEMPTS:
            return f"The worker's process ended on this text, {ROW_ATTEMPTS} times."
        self._write(str(row))
        return None

    def end(self) -> None:
        """Remember that all rows were tried."""
        self._write(END)

    def forget(self) -> None:
        """Forget all attempts."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        with self.path.open("a", encoding="utf8") as file:
            file.write(f"{line}\n")
