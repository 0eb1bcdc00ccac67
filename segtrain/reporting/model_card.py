"""The model card of a run: what its network is for, what it was trained on, what it reaches, how to make it again.

The headings are those of Mitchell et al., Model Cards for Model Reporting, arXiv:1810.03993, as far as they apply. The
report shows the same sections, so that page and card say the same in the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.data.samples import INDEX, read_index
from segtrain.evaluation.figures import NAMES
from segtrain.metrics.bootstrap import Estimate, estimate_text
from segtrain.training.config import Config, load_config
from segtrain.training.run_folder import CONFIG, RunFolder, Trained, load_trained
from smearsynth.taxonomy import display_name

CARD = "MODEL_CARD.md"
_FEW = 30
"""Independent images, under which an interval says little."""
WARNING = (
    "For research only. This is no medical device: it must not be used for a diagnosis, to decide on a treatment, or "
    "for any other clinical purpose."
)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """name: of the run's folder. config: with `data` and `fold`, which a checkpoint leaves out. summary: empty before
    the run has ended. index: of the set, empty where that is not at hand."""

    name: str
    trained: Trained
    config: Config
    summary: Mapping[str, Any]
    index: Mapping[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        """As the taxonomy has them, else the keys."""
        return tuple(map(display_name, self.trained.classes.keys))

    @property
    def dataset(self) -> str:
        """Name of the set: its recipe's, else that of its folder."""
        return str(self.index.get("name") or Path(self.config.data or "").name)

    @property
    def network(self) -> str:
        """Its name and the options that are in use, as "unet_half, width 16, norm batch"."""
        options = self.trained.config.model.handed_on()
        name, _ = options.pop("name"), options.pop("pretrained")
        named = (f"{key} {value}" for key, value in options.items() if value is not None)
        return ", ".join([name, *(text for text in named if not text.endswith(" False"))])

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(p.numel() for p in self.trained.model.parameters())


def read_run_facts(run: Path, dataset: Path | None = None) -> RunFacts:
    """dataset: where the set lies now; None: where the run was trained on it. UserError for what is no run."""
    trained = load_trained(run)
    config = load_config(run / CONFIG)
    if dataset is not None:
        config = config.model_copy(update={"data": str(dataset)})
    root = Path(config.data or "")
    index: Mapping[str, Any] = {}
    if (root / INDEX).is_file():
        found = read_index(root)
        index = found if found["digest"] == trained.data_digest else {}
    return RunFacts(
        name=run.resolve().name,
        trained=trained,
        config=config,
        summary=RunFolder(run).read_summary(),
        index=index,
    )


@dataclass(frozen=True)
class Section:
    """Sentences, what stands `between backticks` in them being code, and a table: head and rows, or none."""

    title: str
    sentences: tuple[str, ...]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Figures on a split. per_class: of each class, and whole: of all, name to estimate. units: images that were drawn
    for the intervals, each with those that belong to it."""

    split: str
    images: int
    units: int
    whole: Mapping[str, Estimate]
    per_class: Sequence[Mapping[str, Estimate]]


def model_card(run: Path) -> str:
    """Markdown for whoever is handed the network of `run`: the card that the run's report wrote, else one with the
    figures of the validation split that its training left. UserError where there is no run."""
    written = run / CARD
    if written.is_file():
        return written.read_text(encoding="utf-8")
    return markdown(read_run_facts(run), None)


def markdown(about: RunFacts, reached: Reached | None) -> str:
    """The card. reached: None where only the training has measured it."""
    parts = [f"# Model card: {_plain(about.name)}", f"**{WARNING}**"]
    for section in sections(about, reached):
        parts.append(f"## {section.title}")
        parts += ["\n".join(f"- {_plain(sentence)}" for sentence in section.sentences)] * bool(section.sentences)
        if section.rows:
            rule = ["---"] * len(section.head)
            rows = [[_plain(cell).replace("|", "\\|") for cell in row] for row in (section.head, *section.rows)]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])))
    return "\n\n".join(parts) + "\n"


def sections(about: RunFacts, reached: Reached | None) -> list[Section]:
    """In the order in which they are read."""
    return [
        _network(about),
        _use(about),
        _limits(about, reached),
        _data(about),
        *_tuned(about.summary.get("tuned")),
        _figures(about, reached),
        _again(about),
    ]


def _network(about: RunFacts) -> Section:
    trained = about.trained
    classes = ", ".join(f"{i} {name}" for i, name in enumerate(about.class_names))
    return Section(
        "Network",
        (
            f"{about.network}; {about.parameters:,} trained parameters.",
            f"It takes RGB images at {trained.um_per_px:g} µm per pixel and gives each pixel one of "
            f"{len(trained.classes)} classes: {classes}.",
            f"Weights of epoch {trained.epoch}, the best by {NAMES[trained.config.monitor]} on the validation split"
            + (", averaged over the training." if trained.config.ema else "."),
        ),
    )


def _use(about: RunFacts) -> Section:
    return Section(
        "Intended use",
        (
            "Research on the segmentation of blood smears: comparing networks, losses and training sets, and as a "
            "starting point for training on annotated smears of one's own.",
            "Before it is used on images of a laboratory, measure it on annotated fields of that laboratory: "
            "`segtrain evaluate RUN FOLDER --um-per-px auto`.",
            f"Images of another scale are brought to {about.trained.um_per_px:g} µm per pixel first.",
        ),
    )


def _limits(about: RunFacts, reached: Reached | None) -> Section:
    sentences = [WARNING]
    if _is_built(about):
        sentences += [
            "It was trained on composites, not on photographed smears: single cells were cut out of image databases "
            "and laid together. What it reaches on such images says nothing yet of real smears.",
            "The same cells come back in many images, and patients, stains and cameras are few: an interval here tells "
            "of other images of this kind, not of other laboratories.",
        ]
    if not about.index:
        sentences.append(
            "If its training set was composited from single cells, what it reaches there says nothing yet of real "
            "smears."
        )
    sentences.append(
        "Whatever lies in an image is given one of its classes: cells that are none of them (blasts, reticulocytes, "
        "nucleated red cells, other parasites) are named wrongly, and it does not say so."
        if _is_built(about)
        else "Whatever lies in an image is given one of its classes, and it does not say where none fits."
    )
    if about.config.overfit:
        sentences.append(f"It was trained and validated on the same {about.config.overfit} images, as a trial.")
    if reached and reached.units < _FEW:
        sentences.append(f"It was measured on {_counted(reached)}: the intervals are rough.")
    return Section("Limits", tuple(sentences + _weak(about, reached)))


def _weak(about: RunFacts, reached: Reached | None) -> list[str]:
    if reached is None:
        return []
    pairs = zip(about.class_names, reached.per_class, strict=True)
    weak = [f"{name} ({of['iou'].value:.2f})" for name, of in pairs if of["iou"].value < 0.5]
    return [f"Weak classes, of IoU under 0.5 on the {reached.split} split: {', '.join(weak)}."] if weak else []


def _data(about: RunFacts) -> Section:
    index, trained = about.index, about.trained
    digest = f"Dataset `{about.dataset}`, digest `{trained.data_digest}`."
    if not index:
        return Section(
            "Training data",
            (digest, "The set was not at hand when this was written, so its sources and licences are not told here."),
        )
    learnt = f"{_of_split(index, 'train')} images to learn from, {_of_split(index, 'val')} to validate on."
    if trained.fold:
        learnt = "One fold of a cross-validation: part of its training and validation images was held out."
    if not _is_built(about):
        what = "Fields with named cells" if about.summary.get("tuned") else "Imported images with their masks"
        own = f"{what}; only who gave them knows their origin and licence."
        return Section("Training data", (digest, learnt, own))
    known = tuple(
        f"Its {name.replace('_', ' ')} is `{index[name]}`."
        for name in ("recipe_hash", "bank_digest", "generator_version")
        if name in index
    )
    may = (
        "Its recipe claims that its sources may be handed on."
        if index.get("publish") is True
        else "Its recipe does not claim that its sources may be handed on: clear with their owners what that means for "
        "these weights before publishing them."
    )
    rows = tuple(_source(source) for source in index.get("sources", ()) if isinstance(source, Mapping))
    return Section(
        "Training data", (digest, learnt, *known, may), ("source", "title", "licence", "may be handed on"), rows
    )


def _tuned(tuned: Mapping[str, Any] | None) -> list[Section]:
    """Of a network that was tuned on annotated fields, else none."""
    if tuned is None:
        return []
    mix = tuned["mix"]
    beside = (
        f"Smears of `{Path(mix['data']).name}` were learnt beside, {mix['share']:.0%} of all samples."
        if mix
        else "No smears were learnt beside: what the network knew of other laboratories may be forgotten."
    )
    sentences = (
        f"It begins with the weights of `{Path(tuned['start']).name}`. {learnt_from(tuned)[0].capitalize()}.",
        beside,
        f"{learnt_from(tuned)[1].capitalize()}.",
        *(f"{sentence}." for sentence in tuned["warnings"]),
    )
    rows = tuple(before_and_after(tuned))
    return [Section("Tuned on annotated fields", sentences, ("figure", "before", "after"), rows)]


def learnt_from(tuned: Mapping[str, Any]) -> tuple[str, str]:
    """What a network was tuned on, and what it was measured on, as `experiments.fine_tuning` says it."""
    learnt, held = (
        ", ".join(f"{count} {key}" for key, count in sorted(tuned["cells"][split].items()))
        for split in ("train", "val")
    )
    left = "; ".join(f"{count} annotations {reason}" for reason, count in tuned["left_out"].items())
    return (
        f"learnt from {learnt}, in {tuned['fields'] - tuned['held_back']} fields",
        f"measured on {held}, in {tuned['held_back']} fields that were held back and chose the epoch"
        + (f" ({left})" if left else ""),
    )


NAMED = (
    ("infection", "false_alarms_per_1000", "false alarms per 1,000 healthy", ".1f", -1),
    ("infection", "recall", "recall of infected cells", ".2f", 1),
    ("infection", "recall_at_10_per_1000", "recall at 10 false alarms per 1,000", ".2f", 1),
    ("white_cells", "balanced_accuracy", "white-cell types, balanced", ".2f", 1),
)
"""Where `measure_names` has a figure, what it is called, how it is written, and whether more of it is better."""


def before_and_after(tuned: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name and both values of each figure that was measured, with intervals."""
    before, after = tuned["before"], tuned["after"]
    return [
        (said, estimate_text(before[part][name], form), estimate_text(after[part][name], form))
        for part, name, said, form, _ in NAMED
        if before[part][name]["value"] is not None
    ]


def _source(source: Mapping[str, Any]) -> tuple[str, ...]:
    facts = [source.get("name"), source.get("title"), source.get("licence"), source.get("redistribution")]
    return tuple("not known" if value is None else str(value).replace("_", " ") for value in facts)


def _figures(about: RunFacts, reached: Reached | None) -> Section:
    if reached is None:
        at_best = about.summary.get("at_best") or {}
        rows = tuple(
            (name.removeprefix("val_").replace("_", " "), f"{value:.3f}")
            for name, value in at_best.items()
            if name.startswith("val_") and isinstance(value, float)
        )
        origin = (
            "Of the validation split, by which the epoch was chosen; `segtrain report RUN` adds those of the test one."
        )
        return Section("Figures", (origin,), ("figure", "value") if rows else (), rows)
    whole = ", ".join(f"{name} {estimate_text(of.plain(), '.3f')}" for name, of in reached.whole.items())
    sentences = (
        f"Of {_counted(reached)} of the {reached.split} split, in brackets intervals of 95 % by bootstrap over images.",
        f"All classes: {whole}.",
    )
    table = tuple(
        (name, *(estimate_text(of[key].plain(), ".3f") for key in ("iou", "dice", "precision", "recall")))
        for name, of in zip(about.class_names, reached.per_class, strict=True)
    )
    return Section("Figures", sentences, ("class", "IoU", "Dice", "precision", "recall"), table)


def _counted(reached: Reached) -> str:
    apart = f" in {reached.units:,} independent groups" if reached.units != reached.images else ""
    return f"{reached.images:,} images{apart}"


def _again(about: RunFacts) -> Section:
    summary = about.summary
    versions = summary.get("versions") or {}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    build = (
        "The set: `smearsynth build recipe.resolved.yaml --bank cells.h5 --out DATASET`, by a smearsynth of its "
        "generator version, from the two files that lie beside its shards; its digest is then the one above."
    )
    return Section(
        "How to make it again",
        (
            *([build] if _is_built(about) else ()),
            "The network: `segtrain fit DATASET -c config.yaml --run NEW`, with the config.yaml of this run"
            + (f" (seed {about.config.seed}, config hash `{summary['config_hash']}`)." if summary else "."),
            "The figures: `segtrain evaluate NEW DATASET`.",
            "On a CPU equal versions give equal weights to the bit; on a GPU set `deterministic: true` for that.",
            *([f"Versions: {named}."] if named else ()),
        ),
    )


def _is_built(about: RunFacts) -> bool:
    """Whether the training set is known to be composited; an imported set has no bank."""
    return "bank_digest" in about.index


def _of_split(index: Mapping[str, Any], split: str) -> str:
    try:
        return f"{index['splits'][split]['samples']:,}"
    except (KeyError, TypeError, ValueError):
        return "an unknown number of"


def _plain(text: str) -> str:
    """Names from an index stay one line, and no markup."""
    return " ".join(text.split()).replace("<", "&lt;")
