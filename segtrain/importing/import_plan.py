"""Which patch of which image becomes which sample of which shard.

What a user should hear about a set that could be imported: nothing here is a fault, and all of it may be one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segtrain.importing.palettes import Palette
from segtrain.importing.patches import Patches, Size, Target, Window, cover, fits, windows
from segtrain.importing.survey import Surveyed
from smearsynth.base.images import MAX_PIXELS, MIN_SIDE
from smearsynth.taxonomy import IGNORE, SPLITS

_SHARD_SAMPLES = 1024
_SHARD_BYTES = 256 << 20
"""Most samples, and about the most bytes before compression, of a shard."""
_BYTES_PER_PIXEL = 4


@dataclass(frozen=True, kw_only=True)
class Source:
    """A pair, and what becomes of it. um_per_px: of its file. resampled: what image and label are brought to. sample:
    size of its samples, whose top left corners are `windows`. group: number of its group."""

    surveyed: Surveyed
    split: str
    group: int
    group_name: str
    um_per_px: float
    resampled: Size
    sample: Size
    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """A run of samples of one split and one size. first: number of its first sample in the split."""

    name: str
    split: str
    size: Size
    first: int
    samples: int


def make_source(
    surveyed: Surveyed,
    *,
    split: str,
    group: int,
    group_name: str,
    um_per_px: float,
    target: Target,
    patches: Patches | None,
) -> Source:
    """What becomes of a pair; without windows where `fault_of` finds a fault."""
    resampled = target.size_of(surveyed.size, um_per_px)
    corners = [(0, 0)] if patches is None else windows(patches, resampled) if fits(patches, resampled) else []
    return Source(
        surveyed=surveyed,
        split=split,
        group=group,
        group_name=group_name,
        um_per_px=um_per_px,
        resampled=resampled,
        sample=patches.size if patches else resampled,
        windows=tuple(corners),
    )


def fault_of(source: Source) -> str | None:
    """Why a pair can't become samples of the form that is asked for."""
    height, width = source.resampled
    name = source.surveyed.pair.image
    if height * width > MAX_PIXELS:
        return f"{name}: would have {width}x{height} px, over {MAX_PIXELS // 10**6} megapixels; cut it into fields."
    if min(source.resampled) < MIN_SIDE:
        return f"{name}: would have {width}x{height} px; at least {MIN_SIDE} px a side are needed: check --um-per-px."
    if not source.windows:
        patch = f"{source.sample[1]}x{source.sample[0]}"
        return f"{name}: has {width}x{height} px, too few for these patches of {patch} px; ask for smaller or fewer."
    return None


def uncovered(sources: Sequence[Source], patches: Patches) -> int:
    """How many images have pixels that are in no patch."""
    return sum(not cover(patches, source.resampled) for source in sources)


def ordered(sources: Sequence[Source]) -> list[Source]:
    """In the order of their samples in the dataset: by split, by size, by name."""
    return sorted(sources, key=lambda s: (SPLITS.index(s.split), s.sample, s.surveyed.pair.name.split("/")))


def shards(sources: Sequence[Source]) -> Iterator[ShardPlan]:
    """The shards of sources in their order."""
    for split in SPLITS:
        first = number = 0
        sizes = dict.fromkeys(source.sample for source in sources if source.split == split)
        for size in sizes:
            left = sum(len(s.windows) for s in sources if s.split == split and s.sample == size)
            most = max(1, min(_SHARD_SAMPLES, _SHARD_BYTES // (size[0] * size[1] * _BYTES_PER_PIXEL)))
            while left:
                samples = min(left, most)
                yield ShardPlan(name=f"{split}-{number:05d}.h5", split=split, size=size, first=first, samples=samples)
                first, number, left = first + samples, number + 1, left - samples


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
