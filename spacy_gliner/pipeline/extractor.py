"""The one trainable pipe: Docs → queries → logits → spans → Docs. What is asked and written is the task's matter."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import ensure_path, minibatch
from spacy.vocab import Vocab
from thinc.api import Optimizer

from ..losses import Loss, loss_and_gradient
from ..ml.architectures import GlinerModel, set_device, shim_of
from ..ml.checkpoints import write_checkpoint
from ..ml.folders import whole_or_nothing
from ..ml.listening import asked as with_vectors
from ..ml.listening import begin_hearing, hear
from ..targets import make_targets
from ..types import Lesson, ScoredSpan
from .ahead import Findings, begin_passes, begun, look_ahead, n_ahead
from .extensions import score_parts
from .label_vectors import LabelVectors
from .labels import Labels, parse_device, parse_threshold, parse_thresholds
from .lessons import SampleLabels, Teacher
from .parts import Groups, Part, parts
from .tasks import Task, observed, own_labels
from .windows import Windows, in_tokens, merge, word_ranges, word_tokens

# In so many examples labels are looked for, where none are configured.
OBSERVED = 5000
# So many different sets of labels are parsed only once.
REMEMBERED = 1000


class Extractor(TrainablePipe):
    """Finds labelled spans in Docs.

    vocab: The shared vocabulary.
    model: Built by `spacy_gliner.GLiNER.v1`. Its weights load when they are first needed.
    name: The name of the component.
    task: What to ask and where to write.
    labels: What is asked for, as the task reads it; may be empty until something is predicted.
    threshold: A span needs a score above this.
    label_thresholds: Other thresholds for some labels, over those that the labels bring.
    windows: Cuts a Doc into windows.
    max_pieces: Pieces of a pass, over all queries in it.
    device: "auto", or a torch device such as "cuda:0" or "mps".
    sample_labels: Which labels to ask for in training.
    loss: The loss for scores and targets.
    scorer: Scores Examples.

    `cfg` holds the labels and thresholds, which are saved with the component.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: GlinerModel,
        name: str,
        *,
        task: Task,
        labels: Labels,
        threshold: float,
        label_thresholds: Any,
        windows: Windows,
        max_pieces: int,
        device: str,
        sample_labels: SampleLabels,
        loss: Loss,
        scorer: Callable[..., dict[str, Any]] | None,
    ) -> None:
        if max_pieces < 1:
            raise ValueError(f"max_pieces must be at least 1, got {max_pieces}.")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.task = task
        self.windows = windows
        self.max_pieces = max_pieces
        self.teacher = Teacher(sample_labels)
        self.loss = loss
        self.scorer = scorer
        self._parsed: dict[str, list[Any]] = {}
        self.cfg: dict[str, Any] = {
            "labels": [label.unparse() for label in task.parse(labels)],
            "threshold": parse_threshold(threshold),
            "label_thresholds": parse_thresholds(label_thresholds),
        }
        set_device(model, parse_device(device))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(label.name for label in self.task.parse(self.cfg["labels"]))

    @property
    def label_data(self) -> list[Any]:
        """The labels with their descriptions, as `initialize` takes them."""
        return list(self.cfg["labels"])

    @property
    def device(self) -> str:
        """Where the network runs, such as "cpu" or "cuda:0"."""
        return str(shim_of(self.model).device)

    @property
    def label_vectors(self) -> LabelVectors:
        """The vectors of labels, where the network reads labels apart from the text; to make, write and read them."""
        return LabelVectors(shim_of(self.model), self._prompts)

    def add_label(self, label: str | dict[str, str]) -> int:
        """Add a label; 0 if it is there already, otherwise 1."""
        if label in self.labels:
            return 0
        labels = self.task.parse([*self.cfg["labels"], label])
        added = len(labels) - len(self.cfg["labels"])
        self.cfg["labels"] = [label.unparse() for label in labels]
        return added

    def predict(self, docs: Iterable[Doc]) -> list[list[ScoredSpan]]:
        """Find the spans of each Doc, without changing it. Windows of all Docs share passes.

        RETURNS: For each Doc its spans, in tokens, by start; those of equal start by score.
        Raises ValueError for a Doc of which nothing is asked, neither by itself nor by the component, and for a label
        that would fill a pass.
        """
        return self._begin(list(docs))()

    def _begin(self, docs: Sequence[Doc]) -> Callable[[], list[list[ScoredSpan]]]:
        """Ask an accelerator for the first pass; the callback does the rest and returns what `predict` does."""
        words = [word_tokens(doc) for doc in docs]
        groups = Groups(shim_of(self.model))
        asked = [part for row, doc in enumerate(docs) for part in self._parts(row, doc, words[row], groups)]
        findings = begin_passes(
            self.model,
            asked,
            hear(self.model, docs) if asked else None,
            threshold=self.cfg["threshold"],
            limits=[self._thresholds(doc) for doc in docs],
            name_of=self.task.name_of,
            max_pieces=self.max_pieces,
        )
        return lambda: list(map(self._decide, findings(), words))

    def _decide(self, found: Findings, words: Sequence[int]) -> list[ScoredSpan]:
        """The best of what was found in one Doc, in tokens. Windows are merged for each instruction by itself."""
        in_order = sorted((span for of_one in found.values() for span in merge(of_one)), key=lambda span: span[:2])
        return [in_tokens(span, words) for span in self.task.select(in_order)]

    def _thresholds(self, doc: Doc) -> dict[str, float]:
        """The thresholds of those of a Doc's labels that have one of their own."""
        own = {label.name: label.threshold for label in self._labels_for(doc)} | self.cfg["label_thresholds"]
        return {name: limit for name, limit in own.items() if limit is not None}

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[Sequence[ScoredSpan]]) -> None:
        """Write spans on their Docs."""
        for doc, spans in zip(docs, scores, strict=True):
            self.task.annotate(doc, spans, self._labels_for(doc))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs. On an accelerator, a batch is yielded when the next one has been asked about.

        When a batch fails, each half of it is tried, and so on, so that the error handler gets only Docs that fail.
        """
        n = n_ahead(self.model)
        batches = map(list, minibatch(stream, size=batch_size))
        for docs, predicted in look_ahead(begun(batches, self._begin, self.predict, n), n):
            yield from self._annotated(docs, predicted)

    def _annotated(self, docs: list[Doc], predicted: Callable[[], list[list[ScoredSpan]]]) -> Iterator[Doc]:
        try:
            self.set_annotations(docs, predicted())
        except Exception as error:
            if len(docs) == 1:
                self.get_error_handler()(self.name, self, docs, error)
                return
        else:
            yield from docs
            return
        for half in docs[: len(docs) // 2], docs[len(docs) // 2 :]:
            yield from self._annotated(half, partial(self.predict, half))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | bool | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from the Examples that carry this task's gold. `drop` is not used: the network has its own dropout."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Extractor.update")
        if not any(len(example.predicted) for example in examples):
            return losses
        vectors, backprop_vectors = begin_hearing(self.model, [example.predicted for example in examples])
        if not (learned := self.lessons(examples)):
            backprop_vectors([])
            return losses
        logits, backprop = self.model.begin_update(with_vectors([lesson.query for lesson in learned], vectors))
        loss, d_scores = loss_and_gradient(logits.scores, make_targets(logits, learned), self.loss, logits.parts)
        backprop_vectors(backprop(replace(logits, scores=d_scores)))
        if sgd:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def lessons(self, examples: Sequence[Example]) -> list[Lesson]:
        """What is to be learned of those Examples that carry this task's gold: what was drawn, with its gold."""
        shim = shim_of(self.model)
        return list(self.teacher.lessons(examples, self.task, self._labels_for, self.windows, shim))

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Labels | None = None,
    ) -> None:
        """Load the weights from the source. Without configured labels, take `labels` or those of the examples."""
        validate_get_examples(get_examples, "Extractor.initialize")
        self.teacher.rng.seed(random.getrandbits(32))  # spaCy has seeded the global generator
        if not self.cfg["labels"]:
            found = self.task.parse(labels or observed(self.task, islice(get_examples(), OBSERVED)))
            self.cfg["labels"] = [label.unparse() for label in found]
        sample = islice(get_examples(), 10) if self.model.layers else ()
        self.model.initialize(X=[example.reference for example in sample])

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score Examples with the component's scorer; each part of the data (`reference._.gliner_part`) by itself."""
        if self.scorer is None:
            return {}
        return score_parts(self.scorer, examples, task=self.task, labels=self.task.parse(self.cfg["labels"]), **kwargs)

    def get_loss(self, examples: Iterable[Example], scores: Any) -> tuple[float, Any]:
        """Not used: the loss needs the labels that `update` asked for."""
        raise NotImplementedError(Errors.E931.format(parent="Extractor", method="get_loss", name=self.name))

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        """Save to a folder: everything or, after an error, nothing."""
        if "model" not in exclude:
            self.label_vectors.keep()
        with whole_or_nothing(ensure_path(path)) as scratch:
            super().to_disk(scratch, exclude=exclude)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Save to bytes, with the vectors of its labels where the network reads them apart."""
        if "model" not in exclude:
            self.label_vectors.keep()
        data: bytes = super().to_bytes(exclude=exclude)
        return data

    def to_checkpoint(self, folder: Any, *, half: bool = False) -> None:
        """Write the network as a GLiNER checkpoint, which this and the reference library read; `half` for fp16."""
        write_checkpoint(shim_of(self.model).checkpoint(), ensure_path(folder), half=half)

    def _parts(self, row: int, doc: Doc, words: Sequence[int], groups: Groups) -> Iterator[Part]:
        """What is asked of a Doc, window by window."""
        labels = self._labels_for(doc)
        if not labels and own_labels(self.task, doc) is None:
            raise ValueError(f"'{self.name}' has nothing to look for. {self.task.hint}")
        if words and labels:
            windows = word_ranges(self.windows(doc), words)
            asked = [(place, self.task.asks(doc, window, labels)) for place, window in windows]
            yield from parts(row, doc, words, asked, groups)

    def _prompts(self, labels: Any = None) -> list[str]:
        """What the network reads for labels, or for the component's own, as far as that depends on no text."""
        nothing, asked = Doc(self.vocab), self.task.parse(self.cfg["labels"] if labels is None else labels)
        return [prompt for ask in self.task.asks(nothing, nothing[:], asked) for prompt in ask.label_prompts]

    def _labels_for(self, doc: Doc, others: Sequence[str] | None = None) -> list[Any]:
        """What the Doc asks for, each as the component describes it where the Doc only names it; or the component's.

        others: Labels to ask for in place of those.
        """
        own = own_labels(self.task, doc) if others is None else list(others)
        key = repr((self.cfg["labels"], own))
        if key not in self._parsed:
            if len(self._parsed) >= REMEMBERED:
                self._parsed.clear()
            self._parsed[key] = self._parse(own)
        return self._parsed[key]

    def _parse(self, own: Any) -> list[Any]:
        configured = self.task.parse(self.cfg["labels"])
        if own is None:
            return configured
        described = {label.name: label.unparse() for label in configured}
        asked = [label.unparse() for label in self.task.parse(own)]
        return self.task.parse([described.get(label, label) if isinstance(label, str) else label for label in asked])
