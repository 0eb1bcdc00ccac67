"""The table of distances as text."""

from collections.abc import Sequence

from smearsynth.fidelity.measures import Row

HEAD = ("", "unit", "synthetic", "real", "distance", "halves", "times")
_MOST = 5
_WIDTH = 10


def cells(row: Row) -> tuple[str, ...]:
    """A row's texts, under `HEAD`."""
    return (
        row.name,
        row.unit,
        *(number(value) for value in (row.synthetic, row.real, row.distance, row.halves)),
        "-" if row.times is None else f"{row.times:.1f}",
    )


def number(value: float | None) -> str:
    """Three significant digits or more; - where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def lines(rows: Sequence[Row]) -> list[str]:
    """One line per row under a head."""
    table = [HEAD, *(cells(row) for row in rows)]
    name, unit = (max(len(line[i]) for line in table) for i in (0, 1))
    return [
        line[0].ljust(name + 2) + line[1].ljust(unit) + "".join(text.rjust(_WIDTH) for text in line[2:])
        for line in table
    ]


def differs_most(rows: Sequence[Row]) -> str:
    """A sentence on the rows whose distance is the most times that of two halves of the real images."""
    known = sorted((row for row in rows if row.times is not None), key=lambda row: -(row.times or 0))
    if not known:
        return "One real image has no halves to compare: give more for a yardstick."
    named = ", ".join(f"{row.name} ({cells(row)[-1]} times)" for row in known[:_MOST])
    return f"Differs most, against two halves of the real images: {named}."
