"""Annotate more texts than one machine reads, with Ray: one worker per device, every row exactly once.

Ray starts the workers, hands them parts, and starts them anew where they die. That no row is lost and none comes twice
is the matter of `scaling`: a part is a file that is there whole or not at all.
"""

import os
from pathlib import Path
from typing import Any, Literal

from .scaling.annotating import result_names
from .scaling.job import Job, Pipeline, Report
from .scaling.parts import Part, Source, make_plan
from .scaling.working import Worker
from .scaling.writing import FORMATS

BLOCKS = 10_000  # parts are handed out one by one, or, where there are more than these, a few at a time


def annotate(
    source: Source,
    pipeline: Pipeline,
    output: str | Path,
    *,
    text: str = "text",
    prefix: str = "",
    output_format: Literal["jsonl", "parquet", "spacy"] | None = None,
    n_workers: int | None = None,
    cpus_per_worker: int = 1,
    gpus_per_worker: float | None = None,
    batch_size: int = 128,
    rows_per_part: int = 1000,
    retry_errors: bool = False,
) -> Report:
    """Map files through a pipeline into a folder. Started again, it goes on where it was.

    source: JSON lines, Parquet or DocBin files: a file, a folder, a pattern such as `texts/*.jsonl`, or several.
    pipeline: The folder or the name of a saved pipeline, or a function that makes one. Every worker loads it once.
    output: A new folder, or that of an earlier run. All machines must see it, and the source, under the same path.
    text: The column that holds the texts.
    prefix: Put before the names of the columns of results, which are `entities`, `relations`, `summary`, `answers`,
        `matches` and `error`.
    output_format: What to write; None for the format of the source. Only DocBin files become another one, "jsonl".
    n_workers: How many; None for one on each GPU of the cluster or, where there is none, as many as its CPUs allow.
    cpus_per_worker: CPUs of a worker without a GPU, and threads of each.
    gpus_per_worker: GPUs of a worker, of which 0.5 lets two share one; None for 1 where the cluster has GPUs.
    batch_size: Texts that are given to the pipeline together.
    rows_per_part: Rows of a file of the output, which is what is done again after a worker has died.
    retry_errors: Do parts with errors again, of an earlier run.
    RETURNS: How many rows there are, and how many of them have an error.
    Raises ValueError for input that can't be read and for an output that was begun with something else, OSError (of
    which ChildProcessError where parts could not be finished), and ImportError where Ray is not installed.
    """
    import_ray()
    plan = make_plan(source, rows_per_part=rows_per_part, text=text, results=result_names(prefix))
    folder = check_output(Path(output).resolve(), plan.parts)
    job = Job(folder, plan.kind, check_format(plan.kind, output_format), text, prefix, check_size(batch_size))
    job.begin(plan.files, pipeline, rows_per_part)
    left = job.left(plan.parts, retry_errors=retry_errors)
    if left:
        pipeline = str(Path(pipeline).resolve()) if not callable(pipeline) and Path(pipeline).is_dir() else pipeline
        run_parts(job, pipeline, left, n_workers, cpus_per_worker, gpus_per_worker)
    return job.finish(plan.parts, resumed=len(plan.parts) - len(left))


def run_parts(
    job: Job,
    pipeline: Pipeline,
    parts: list[Part],
    n_workers: int | None,
    cpus_per_worker: int,
    gpus_per_worker: float | None,
) -> None:
    """Have Ray hand the parts to workers, and wait for the last."""
    ray = import_ray()
    if not ray.is_initialized():
        ray.init()
    cluster = ray.cluster_resources()
    gpus = min(cluster.get("GPU", 0), 1) if gpus_per_worker is None else gpus_per_worker
    room = cluster.get("GPU", 0) / gpus if gpus else cluster.get("CPU", 1) / cpus_per_worker
    workers = min(n_workers or max(int(room), 1), len(parts))
    if gpus and not cluster.get("GPU", 0):
        raise ValueError("The cluster has no GPU. Leave gpus_per_worker away, or make it 0.")
    dataset = ray.data.from_items([part._asdict() for part in parts], override_num_blocks=min(len(parts), BLOCKS))
    done = dataset.map(
        Worker,
        fn_constructor_args=(job, pipeline),
        fn_constructor_kwargs={"threads": None if gpus else cpus_per_worker, "gpu": bool(gpus)},
        compute=ray.data.ActorPoolStrategy(size=workers),
        **({"num_gpus": gpus} if gpus else {"num_cpus": cpus_per_worker}),
    )
    for row in done.iter_rows():
        if row["failure"]:
            raise ChildProcessError(f"A worker could not go on with {row['failure']}")


def import_ray() -> Any:
    """The library. Raises ImportError that says how to install it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what is annotated here is nobody else's business
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("Annotating with Ray needs it: pip install 'spacy-gliner[ray]'.") from error
    return ray


def check_format(kind: str, output_format: str | None) -> str:
    """What is written for this kind of input. Raises ValueError for what it can't become."""
    chosen = kind if output_format is None else output_format
    if chosen not in FORMATS[kind]:
        raise ValueError(f"Files of {kind} become {' or '.join(FORMATS[kind])}, not {chosen!r}.")
    return chosen


def check_output(folder: Path, parts: list[Part]) -> Path:
    """The folder. Raises ValueError for one that holds the input."""
    if folder in {Path(part.path).parent for part in parts}:
        raise ValueError(f"The output {folder} is the folder of the input. Name another one.")
    return folder


def check_size(batch_size: int) -> int:
    """A number of texts. Raises ValueError for less than one."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    return batch_size
