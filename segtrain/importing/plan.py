"""Which patch of which image becomes which sample of which shard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segtrain.importing.patches import Patches, Size, Window, cover, fits, windows
from segtrain.importing.resample import Target
from segtrain.importing.survey import Surveyed
from smearsynth.images import MAX_PIXELS, MIN_SIDE
from smearsynth.taxonomy import SPLITS

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
