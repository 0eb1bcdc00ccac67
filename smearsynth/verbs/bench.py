"""How fast smears are made: the build itself, timed, into a folder that is thrown away."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smearsynth.verbs.build import build

SMEARS = 2000
"""Fewer give figures that are not worth telling."""


def bench(
    recipe_path: str | Path,
    *,
    bank: str | Path | None = None,
    smears: int = SMEARS,
    workers: int = 1,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Builds `smears` scenes of the recipe's train split and tells the cost; bank and compilation are not
    counted.

    Keys: digest, smears, seconds, per_second, per_core, stages_ms (plan, render, digest, deflate, write;
    milliseconds of one core per smear), peak_mb. What the stages do not hold of the end-to-end time is start,
    index, card and preview.
    """
    count = f"count={{train: {smears}, val: 0, test: 0}}"
    with tempfile.TemporaryDirectory(prefix="smearsynth-bench-") as folder:
        result = build(
            recipe_path,
            out=Path(folder) / "bench",
            workers=workers,
            bank=bank,
            overrides=(*overrides, count),
            progress=progress,
        )
    return {name: value for name, value in asdict(result).items() if name not in ("out", "built", "unread", "claim")}


def as_text(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    whole = 1000 / figures["per_core"]
    stages = dict(figures["stages_ms"])
    stages["rest"] = whole - sum(stages.values())
    lines = [f"{'stage':<10}{'ms':>9}{'share':>8}"]
    lines += [f"{name:<10}{ms:>9.3f}{ms / whole:>8.1%}" for name, ms in stages.items()]
    lines += [
        f"{'all':<10}{whole:>9.3f}{1:>8.1%}",
        "",
        f"{figures['smears']} smears in {figures['seconds']:.2f} s: {figures['per_second']:.1f} per second, "
        f"{figures['per_core']:.1f} per core; peak {figures['peak_mb']:.0f} MB",
        f"digest {figures['digest']}",
    ]
    return "\n".join(lines)
