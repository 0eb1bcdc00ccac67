"""Trained networks on images of any size: every image is opened and judged first, and only then predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from segtrain.inference.field_prediction import FOUND_BY_AUTO, image_paths, survey
from segtrain.inference.image_reader import Picture, open_picture
from segtrain.inference.onnx_runtime import load_onnx
from segtrain.inference.prediction_files import PredictionFiles, check_new, new_files, overlay_factor, targets
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.inference.tiles import Rescaled, predict_bands
from smearsynth.base.errors import UserError, printable
from smearsynth.base.images import size_text
from smearsynth.fields.scale import AUTO, Scale

Figures = dict[str, Any]
Runtime = Literal["torch", "onnx"]
Which = Literal["best", "last"]
_LEAST = 0.001
"""Share of an image that a class must have to be named in the table."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was written. images: one mapping each of name, width, height, um_per_px, pixels (by class, at the image's
    size) and files. remarks: sentences that the user should hear."""

    images: tuple[Figures, ...]
    device: str
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len("image"), *(len(image["name"]) for image in self.images)) + 2
        lines = [f"{'image'.ljust(width)}{'size':>13}{'um/px':>9}  cells"]
        for image in self.images:
            lines.append(f"{image['name'].ljust(width)}{image['size']:>13}{image['um_per_px']:>9.4f}  {_cells(image)}")
        return "\n".join(lines)


def predict(
    run: str | Path,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    um_per_px: str | float = AUTO,
    others: Sequence[str | Path] = (),
    symmetries: bool = False,
    probability: bool = False,
    overwrite: bool = False,
    runtime: Runtime = "torch",
    which: Which = "best",
    batch: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Predicted:
    """Writes the files of `inference.files` for each image into the folder `out`.

    run: folder of a training; others: of more, with which its probabilities are averaged. images: files, or folders of
    them. um_per_px: their scale, a number, a table's path, or "auto". symmetries: average over the eight views of a
    tile, turned and mirrored, too. probability: keep those, too. overwrite: replace files that are there. runtime: what
    computes; "onnx" takes what `segtrain export` wrote. batch: tiles at a time, None is what suits the device.
    Raises UserError, and before anything is written for what is wrong with any image.
    """
    scale, folder, paths = Scale(str(um_per_px)), Path(out), image_paths(images)
    wanted = {path: targets(folder, path, probability=probability) for path in paths}
    files = [file for files in wanted.values() for file in files]
    check_new(files, overwrite=overwrite)
    _check_apart(paths, files)
    networks = _networks([run, *others], runtime, which, symmetries=symmetries, batch=batch, device=device)
    with tqdm(total=len(paths), desc="read", unit="image", leave=False, disable=None if progress else True) as bar:
        fields = list(survey(paths, scale, networks, bar))
        bar.desc, bar.unit = "predict: ", "tile"
        bar.reset(sum(field.tiles for field in fields))
        folder.mkdir(parents=True, exist_ok=True)
        done = [_predict(networks, open_picture(f.path), f.um_per_px, wanted[f.path], bar) for f in fields]
    return Predicted(images=tuple(done), device=networks.device, remarks=tuple(_remarks(done, scale)))


def _check_apart(images: list[Path], files: list[Path]) -> None:
    """UserError where an image would be written over, and perhaps before it is read."""
    lost = {image.resolve() for image in images} & {file.resolve() for file in files}
    if lost:
        raise UserError(f"{min(lost)} is one of the images, and would be written over: name another --out.")


def _networks(runs: Sequence[str | Path], runtime: Runtime, which: Which, *, device: str, **options: Any) -> Networks:
    if runtime == "torch":
        return load_networks(runs, which=which, device=device, **options)
    if which == "last":
        raise UserError("--last is for --runtime torch: export the last network, and predict with what that wrote.")
    return load_onnx(runs, **options)


def _predict(networks: Networks, picture: Picture, um_per_px: float, files: list[Path], bar: "tqdm[Any]") -> Figures:
    scaled = Rescaled(picture, um_per_px / networks.um_per_px)
    with new_files(files) as opened:
        written = PredictionFiles(opened, picture, scaled.shape, networks.classes)
        for band in predict_bands(networks, scaled, bar.update):
            written.add(band)
        written.finish()
    return {
        "name": printable(Path(picture.name).name),
        "size": size_text(picture.shape),
        "width": picture.shape[1],
        "height": picture.shape[0],
        "um_per_px": um_per_px,
        "overlay_factor": overlay_factor(picture.shape),
        "pixels": dict(zip(networks.classes.keys, written.pixels.tolist(), strict=True)),
        "files": [str(file) for file in files],
    }


def _remarks(done: list[Figures], scale: Scale) -> list[str]:
    said = []
    if scale.spec == AUTO:
        said.append(f"{FOUND_BY_AUTO}; the table has it")
    for image in done:
        if image["overlay_factor"] < 1:
            said.append(f"the overlay of {image['name']} is {1 / image['overlay_factor']:.1f} times smaller than it")
    return said


def _cells(image: Figures) -> str:
    """The share of each class but the first, which is glass, where it is a tenth of a per cent; the largest first."""
    pixels = image["pixels"]
    total = sum(pixels.values())
    shares = {key: count / total for key, count in list(pixels.items())[1:] if count >= _LEAST * total}
    ranked = sorted(shares, key=lambda key: -shares[key])
    return ", ".join(f"{key} {shares[key]:.1%}" for key in ranked) or "none"
