"""Losses: each of its own, and the sum of them that a config asks for.

Everywhere logits are float (B, C, H, W) and labels int64 (B, H, W), 255 = ignored; a loss is a scalar, and no call
waits for the device. Instance maps are integers (B, H, W), 0 = no cell, else the cell's number in its image.

Losses over pixels compute each pixel's value apart and weight it by a map, and never by the `weight` and `mean` of
torch's own loss, whose normalisation differs and whose sum is not deterministic on CUDA. Losses over the overlap of a
class count all pixels of a batch together, not image by image, since most smears lack most classes: a class without a
pixel in the batch does not enter, and without any class the loss is 0.

The loss over cells asks what a count asks: which class a cell is of as a whole. A parasite of 50 pixels among the
thousand of its cell, or a nucleus that is right but for its rim, weighs little in any loss over pixels.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field, model_validator
from torch import Tensor

from smearsynth.base.validation import Spec
from smearsynth.taxonomy import IGNORE

Weighting = Literal["none", "inverse", "inverse_sqrt"]
Norm = Literal["count", "sum"]
Loss = Callable[..., Tensor]
"""Logits, labels and, for those losses that need them, the maps `instance` and `parasite` to a scalar."""
PixelLoss = Callable[[Tensor, Tensor], Tensor]


class _Term(Spec):
    factor: float = Field(1.0, gt=0, description="factor of this loss in the sum")


class _Weighted(_Term):
    weights: Weighting = Field("inverse", description="weight of a class, from its pixels in the training set")
    norm: Norm = Field(
        "count", description="divide by the count of pixels that have a weight (as the reference), or by their weights"
    )


class CrossEntropySpec(_Weighted):
    """Weighted cross-entropy; its defaults are the reference training's."""


class FocalSpec(_Weighted):
    """Focal loss."""

    gamma: float = Field(2.0, gt=0, le=10, description="how much pixels that are nearly right count less")


class DiceSpec(_Term):
    """Soft Dice."""

    smooth: float = Field(1.0, ge=0, description="pixels added to both sides of the fraction")


class LovaszSpec(_Term):
    """Lovasz-softmax."""


class BceSpec(_Term):
    """Binary cross-entropy of each class against the others."""


class CellSpec(_Term):
    """Cross-entropy of each cell, whose logits are the mean over its pixels; of sets that know their cells."""

    weights: Weighting = Field("inverse_sqrt", description="weight of a class, from its cells in the batch")
    least: int = Field(60, ge=1, description="pixels that a cell must show to count")


class ParasiteSpec(_Term):
    """Binary cross-entropy and soft Dice of the parasite mask, of networks with `model.parasite`."""

    weight: float = Field(8.0, gt=0, le=1000, description="weight of a parasite's pixel beside one of none; to 1000")


class LossSpec(Spec):
    """The losses to sum; one that is not named is left out."""

    cross_entropy: CrossEntropySpec | None = Field(None, description="weighted cross-entropy")
    dice: DiceSpec | None = Field(None, description="soft Dice, over the classes present in the batch")
    focal: FocalSpec | None = Field(None, description="focal loss")
    lovasz: LovaszSpec | None = Field(None, description="Lovasz-softmax, over the classes present in the batch")
    bce: BceSpec | None = Field(None, description="binary cross-entropy, each class against the others")
    cells: CellSpec | None = Field(None, description="cross-entropy of whole cells")
    parasite: ParasiteSpec | None = Field(None, description="loss of the parasite mask, with `model.parasite`")

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"names no loss: name one or several of {', '.join(LossSpec.model_fields)}")
        return self


def make_loss(spec: LossSpec, pixels: Tensor, *, most_cells: int = 0, device: torch.device | str = "cpu") -> Loss:
    """The sum of the losses that `spec` names, float32 whatever autocast says. It takes labels of uint8, too. Losses
    over pixels are deterministic on every device, that over cells on a GPU where torch is told to be.

    pixels: int64 (C,), pixels of each class in the training set. most_cells: that an image can have. Where the spec
    names `parasite`, logits have a channel more, of the parasite mask.
    """
    terms: list[tuple[float, PixelLoss]] = []
    if spec.cross_entropy:
        ce = spec.cross_entropy
        weights = class_weights(pixels.cpu(), ce.weights).to(device)
        terms.append((ce.factor, partial(weighted_cross_entropy, weights=weights, norm=ce.norm)))
    if spec.dice:
        terms.append((spec.dice.factor, partial(dice, smooth=spec.dice.smooth)))
    if spec.focal:
        weights = class_weights(pixels.cpu(), spec.focal.weights).to(device)
        of_focal = partial(focal, weights=weights, norm=spec.focal.norm, gamma=spec.focal.gamma)
        terms.append((spec.focal.factor, of_focal))
    if spec.lovasz:
        terms.append((spec.lovasz.factor, lovasz))
    if spec.bce:
        terms.append((spec.bce.factor, bce))
    return partial(_sum, terms, spec, most_cells)


def _sum(
    terms: Sequence[tuple[float, PixelLoss]],
    spec: LossSpec,
    most_cells: int,
    logits: Tensor,
    label: Tensor,
    instance: Tensor | None = None,
    parasite: Tensor | None = None,
) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    label = label.long()
    found = []
    if mask := spec.parasite:
        assert parasite is not None, "whoever asks for the loss reads the map"
        logits, of_parasite = logits[:, :-1], logits[:, -1]
        found.append(mask.factor * parasite_loss(of_parasite, parasite, weight=mask.weight))
    found += [factor * loss(logits, label) for factor, loss in terms]
    if cells := spec.cells:
        assert instance is not None, "whoever asks for the loss reads the map"
        pooled = pool_cells(logits, label, instance, most_cells)
        found.append(cells.factor * cell_cross_entropy(pooled, least=cells.least, weighting=cells.weights))
    return torch.stack(found).sum()


def class_weights(count: Tensor, weighting: Weighting) -> Tensor:
    """float32 (C,) where the counts are: weight of each class; 0 for a class without any, whatever the weighting.

    count: int64 (C,), pixels of each class in the training set, or cells. "inverse": all of them / those of the class,
    as the reference training has it; "inverse_sqrt": the root of that; "none": 1.
    """
    count = count.double()
    share = torch.where(count > 0, count.sum() / count.clamp(min=1), 0.0)
    exponent = {"none": 0.0, "inverse": 1.0, "inverse_sqrt": 0.5}[weighting]
    return torch.where(count > 0, share**exponent, 0.0).float()


def absent_classes(pixels: Tensor, keys: Sequence[str], *, learnt: bool = False) -> str:
    """A sentence for the log on the classes that the training set lacks; "" where it lacks none.

    pixels: int64 (C,), pixels of each class in the training set. keys: C names. learnt: whether the network begins with
    weights that may know them.
    """
    absent = [key for key, count in zip(keys, pixels.tolist(), strict=True) if not count]
    follows = "what the network knew of this may be forgotten" if learnt else "this cannot be learned from it"
    return f"the training set has no pixel of {', '.join(absent)}: {follows}" if absent else ""


def weighted_cross_entropy(logits: Tensor, label: Tensor, *, weights: Tensor, norm: Norm) -> Tensor:
    """sum(w * ce) over the count of pixels with w != 0, or over sum(w); 0 where no pixel has a weight.

    weights: (C,), w of a pixel is its class's.
    """
    return _mean(_cross_entropy(logits, label), _weight_map(label, weights), norm)


def focal(logits: Tensor, label: Tensor, *, weights: Tensor, norm: Norm, gamma: float) -> Tensor:
    """Cross-entropy times (1 - p) ** gamma, p = probability of the true class (Lin et al., arXiv:1708.02002);
    weighted and normalised as `weighted_cross_entropy`. gamma: above 0."""
    ce = _cross_entropy(logits, label)
    # 1 - exp(-ce) without cancellation; away from 0, where a power below 1 has no slope.
    wrong = -torch.expm1(-ce)
    hard = wrong.clamp(min=torch.finfo(ce.dtype).tiny) ** gamma
    return _mean(hard * ce, _weight_map(label, weights), norm)


def bce(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of every class's sigmoid against all others, mean over classes and pixels; 0 where all
    pixels are ignored."""
    target = _is_class(label, logits.shape[1]).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
    return _mean(each, _valid(label).to(logits.dtype), "count")


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")


def _weight_map(label: Tensor, weights: Tensor) -> Tensor:
    return torch.where(_valid(label), weights[label.clamp(max=len(weights) - 1)], 0)


def _mean(each: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    total = (weight * each).sum()
    if norm == "sum":
        return total / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
    return total / weight.count_nonzero().clamp(min=1)


def dice(logits: Tensor, label: Tensor, *, smooth: float) -> Tensor:
    """1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth), mean over the classes present. p: softmax; t: 0 or 1."""
    truth = _is_class(label, logits.shape[1])
    probability = logits.softmax(dim=1) * _valid(label)[:, None]
    inside = (probability * truth).sum(dim=(0, 2, 3))
    pixels = truth.sum(dim=(0, 2, 3))
    both = probability.sum(dim=(0, 2, 3)) + pixels + smooth
    overlap = (2 * inside + smooth) / both.clamp(min=torch.finfo(both.dtype).tiny)
    return _mean_of_present(1 - overlap, pixels)


def lovasz(logits: Tensor, label: Tensor) -> Tensor:
    """Lovasz-softmax, the piecewise linear extension of 1 - IoU, mean over the classes present (Berman et al.,
    arXiv:1705.08790)."""
    truth = _is_class(label, logits.shape[1])
    error = (truth.to(logits.dtype) - logits.softmax(dim=1)).abs() * _valid(label)[:, None]
    # Class by class: one sort over all of them would take ten times the memory.
    each = [_lovasz_of_class(error[:, c].flatten(), truth[:, c].flatten()) for c in range(logits.shape[1])]
    return _mean_of_present(torch.stack(each), truth.sum(dim=(0, 2, 3)))


def _lovasz_of_class(error: Tensor, truth: Tensor) -> Tensor:
    """error: (N,), 0 where ignored. Those pixels come after all others, so that they change nobody's slope."""
    with torch.no_grad():
        order = error.argsort(descending=True, stable=True)
        slope = torch.empty_like(error)
        slope[order] = _jaccard_slope(truth[order]).to(error.dtype)
    return (error * slope).sum()


def _jaccard_slope(truth: Tensor) -> Tensor:
    """How much 1 - IoU rises when, in this order, one more pixel becomes wrong. truth: bool (N,).

    Counted in whole numbers, since cumsum of floats is not deterministic on CUDA, and divided in double precision: with
    millions of pixels the steps are smaller than fp32 resolves near 1.
    """
    found = truth.cumsum(0)
    pixels = found[-1]
    union = pixels + (~truth).cumsum(0)
    loss = 1 - (pixels - found).double() / union.clamp(min=1)
    return loss.diff(prepend=loss.new_zeros(1))


def _mean_of_present(each: Tensor, pixels: Tensor) -> Tensor:
    present = pixels > 0
    return (each * present).sum() / present.sum().clamp(min=1)


def parasite_loss(logits: Tensor, parasite: Tensor, *, weight: float) -> Tensor:
    """Binary cross-entropy, mean over the pixels that are known, plus soft Dice of all of them together; 0 where none
    is known.

    logits: float (B, H, W), of a sigmoid. parasite: uint8 (B, H, W), 0, 1, 255 = not known. weight: of a parasite's
    pixel in the cross-entropy.
    """
    known = _valid(parasite)
    target = (known & (parasite > 0)).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=logits.new_tensor(weight))
    probability = logits.sigmoid() * known
    overlap = (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return _mean(each, known.to(logits.dtype), "count") + (1 - overlap) * known.any()


class PooledCells(NamedTuple):
    """A row for every number that a cell of the batch can have. mean: float (N, C), over the cell's pixels. pixels:
    int64 (N,), those that are not ignored, 0 where there is no cell. kind: int64 (N,), its class."""

    mean: Tensor
    pixels: Tensor
    kind: Tensor


def pool_cells(values: Tensor, label: Tensor, instance: Tensor, most: int) -> PooledCells:
    """Means of `values`, float (B, C, H, W), over each cell. most: the highest number in `instance`, (B, H, W)."""
    images, channels = values.shape[:2]
    known = _valid(label) & (instance > 0)
    # Number 0 of each image takes what is of no cell.
    first = torch.arange(images, device=values.device)[:, None, None] * (most + 1)
    cell = torch.where(known, instance.long(), 0) + first
    rows = images * (most + 1)
    total = values.new_zeros(rows, channels).index_add(0, cell.flatten(), values.movedim(1, -1).flatten(0, 2))
    pixels = label.new_zeros(rows).index_add(0, cell.flatten(), known.flatten().to(label.dtype))
    kind = label.new_zeros(rows).scatter_reduce(0, cell.flatten(), torch.where(known, label, 0).flatten(), "amax")
    return PooledCells(total / pixels.clamp(min=1)[:, None], pixels, kind)


def cell_cross_entropy(cells: PooledCells, *, least: int, weighting: Weighting) -> Tensor:
    """sum(w * ce) / sum(w) over the cells of the batch that show `least` pixels or more; 0 where there are none.

    w is of the cell's class, as `class_weights` gives it from the cells of the batch.
    """
    kept = cells.pixels >= least
    count = cells.kind.new_zeros(cells.mean.shape[1]).index_add(0, cells.kind, kept.to(cells.kind.dtype))
    weight = torch.where(kept, class_weights(count, weighting)[cells.kind], 0)
    return _mean(F.cross_entropy(cells.mean, cells.kind, reduction="none"), weight, "sum")


def _valid(label: Tensor) -> Tensor:
    """bool, of the same shape: pixels that are not ignored."""
    return label != IGNORE


def _is_class(label: Tensor, classes: int) -> Tensor:
    """bool (B, C, H, W): whether a pixel of `label` (B, H, W) is of the class; an ignored one is of none."""
    return label[:, None] == torch.arange(classes, device=label.device)[:, None, None]
