"""Progress of a training on the console: spaCy's table of losses and scores, and below each row the scores per type."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger_v3

LogStep = Callable[[dict[str, Any] | None], None]
Logger = Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]

PER_TYPE = "_per_type"
SPANS = "spans_"  # scores of span groups mostly repeat those of entities


def progress_logger(
    max_types: int = 12, progress_bar: str | None = None, output_file: str | Path | None = None
) -> Logger:
    """spaCy's console logger with scores per type: `spacy_gliner.ProgressLogger.v1`.

    max_types: So many types are shown at most, those with the lowest F1 first; 0 for none.
    progress_bar, output_file: As in `spacy.ConsoleLogger.v3`.
    """
    console = console_logger_v3(progress_bar=progress_bar, output_file=output_file)

    def setup(nlp: Language, stdout: IO[str], stderr: IO[str]) -> tuple[LogStep, Callable[[], None]]:
        log_row, finalize = console(nlp, stdout, stderr)

        def log_step(info: dict[str, Any] | None) -> None:
            log_row(info)
            if info is not None and max_types:
                for line in per_type_lines(info["other_scores"], max_types):
                    stdout.write(line + "\n")

        return log_step, finalize

    return setup


def per_type_lines(scores: Mapping[str, Any], max_types: int) -> list[str]:
    """A line for each type with precision, recall and F1 in per cent, for everything that has them per type.

    Other scores, such as the areas under curves of text categories, have no P, R and F1, or None.
    """
    lines = []
    for key, per_type in scores.items():
        if not key.endswith(PER_TYPE) or SPANS in key:
            continue
        known = {name: values for name, values in (per_type or {}).items() if isinstance(values, dict)}
        if known:
            ranked = sorted(known.items(), key=lambda item: (item[1]["f"], item[0]))
            width = max(len(name) for name, _ in ranked[:max_types])
            lines.append(f"    {key.removesuffix(PER_TYPE)}: P, R, F1 per type")
            lines += [
                f"      {name:<{width}} " + " ".join(f"{100 * values[measure]:6.1f}" for measure in "prf")
                for name, values in ranked[:max_types]
            ]
            if len(ranked) > max_types:
                lines.append(f"      … and {len(ranked) - max_types} types with a higher F1")
    return lines
