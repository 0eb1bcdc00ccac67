"""What a user should hear about a set that could be imported: nothing here is a fault, and all of it may be one."""

from collections.abc import Iterator, Sequence

from segtrain.importing.palette import Palette
from segtrain.importing.patches import Patches
from segtrain.importing.plan import Source, uncovered
from segtrain.importing.resample import Target
from segtrain.importing.survey import Surveyed
from smearsynth.taxonomy import IGNORE

_NAMED = 20
_STRETCH = 1.01
_SPREAD = 1.1
"""Ratio of the sides, and of the largest to the smallest scale, from which it is said."""


def on_masks(surveyed: Sequence[Surveyed], palette: Palette) -> Iterator[str]:
    """Masks with a single class, edges that look interpolated, labels that are not what their pixel says."""
    keys = palette.classes.keys
    single = []
    for s in surveyed:
        found = [number for number in range(len(keys)) if s.pixels[number]]
        if len(found) < 2:
            single.append(f"{s.pair.mask_name} ({keys[found[0]] if found else 'ignored'})")
    if single:
        yield f"{_counted(single, 'mask has', 'masks have')} one class only: {listed(single)}"
    if odd := [s.pair.mask_name for s in surveyed if s.interpolated]:
        yield (
            f"{_counted(odd, 'mask has', 'masks have')} thin lines of other ids along edges, as after resizing by "
            f"interpolation, which makes up classes: {listed(odd)}"
        )
    if near := [s for s in surveyed if s.near]:
        pixels = sum(s.near for s in near)
        yield f"{pixels:,} pixels of {_counted(near, 'mask', 'masks')} took the class of the nearest colour"
    ignored = sum(int(s.pixels[IGNORE]) for s in surveyed)
    if ignored:
        total = sum(int(s.pixels.sum()) for s in surveyed)
        yield f"{ignored:,} pixels ({ignored / total:.2%}) are uncertain or to be ignored, and have the label {IGNORE}"


def on_copies(surveyed: Sequence[Surveyed], splits: Sequence[str]) -> Iterator[str]:
    """Images that stand in two splits under two names."""
    first: dict[str, tuple[str, str]] = {}
    for s, split in zip(surveyed, splits, strict=True):
        name, other = first.setdefault(s.image_sha256, (s.pair.name, split))
        if split != other:
            yield f"{s.pair.name} in {split} is the same image as {name} in {other}"


def on_form(sources: Sequence[Source], target: Target, patches: Patches | None) -> Iterator[str]:
    """Scales that differ, images that were stretched, pixels that are in no patch."""
    scales = [target.um_per_px_of(s.surveyed.size, s.um_per_px) for s in sources]
    if max(scales) > _SPREAD * min(scales):
        yield (
            f"the images are of {min(scales):.3f} to {max(scales):.3f} um/px; --to-um-per-px 0.2 would bring them to "
            "one scale"
        )
    stretched = [s.surveyed.pair.name for s in sources if _stretch(s) > _STRETCH]
    if stretched and target.size:
        yield f"{_counted(stretched, 'image was', 'images were')} stretched to another form: {listed(stretched)}"
    if patches and (cut := uncovered(sources, patches)):
        yield f"the patches leave out pixels of {cut} of {len(sources)} images; a larger SIZE or N would reach them"


def listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(things: Sequence[object], one: str, several: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else several}"


def _stretch(source: Source) -> float:
    """Ratio of the factors of height and width, over 1."""
    down, across = (new / old for new, old in zip(source.resampled, source.surveyed.size, strict=True))
    return max(down, across) / min(down, across)
