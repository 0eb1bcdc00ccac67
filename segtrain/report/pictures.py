"""The pictures of a run, from its files and the data it was validated on."""

from pathlib import Path

from segtrain.compute import choose
from segtrain.config import load_config
from segtrain.evaluate import predictor
from segtrain.evaluation.images import measure_images
from segtrain.parts import read_parts
from segtrain.report.confusion import draw_confusion
from segtrain.report.curves import draw_curves, read_columns
from segtrain.report.extremes import both_ends, shown
from segtrain.report.gallery import draw_gallery
from segtrain.run import CONFIG, METRICS
from segtrain.trained import load_trained

CURVES, CONFUSION, GALLERY = "curves.png", "confusion.png", "gallery.png"


def write_pictures(run: Path, *, device: str = "auto", progress: bool = True) -> list[Path]:
    """Writes curves.png, confusion.png and gallery.png into the run's folder and returns their paths.

    The last two show the best epoch on the validation split; after `overfit` on the samples of that, of a fold on those
    that it holds out. Raises UserError.
    """
    run = Path(run)
    draw_curves(read_columns(run / METRICS), run / CURVES)
    trained, parts = load_trained(run), read_parts(load_config(run / CONFIG))
    compute = choose(amp=trained.config.amp, channels_last=trained.config.channels_last, device=device)
    shards, predict = parts.held_out, predictor(trained, compute)
    measured = measure_images(
        predict,
        shards,
        parts.validation,
        batch=trained.config.batch,
        compute=compute,
        objects=False,
        progress=progress,
    )
    draw_confusion(measured.measures.matrix, shards.classes.keys, run / CONFUSION)
    ends = both_ends(list(zip(measured.scores, measured.numbers.tolist(), strict=True)))
    best, worst = ([shown(predict, shards, *scored) for scored in end] for end in ends)
    draw_gallery(best, worst, shards.classes, run / GALLERY)
    return [run / name for name in (CURVES, CONFUSION, GALLERY)]
