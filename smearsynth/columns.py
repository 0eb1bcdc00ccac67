"""A table as a person reads it in a terminal."""

from collections.abc import Container, Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[object]], *, text: Container[str] = ()) -> str:
    """Head and rows in columns; those whose name is in `text` to the left, figures to the right. "" without rows."""
    if not rows:
        return ""
    told = [[str(cell) for cell in row] for row in (head, *rows)]
    width = [max(map(len, column)) for column in zip(*told, strict=True)]
    left = [name in text for name in head]
    lines = [
        "  ".join(
            cell.ljust(w) if to_left else cell.rjust(w) for cell, w, to_left in zip(row, width, left, strict=True)
        )
        for row in told
    ]
    return "\n".join(line.rstrip() for line in lines)
