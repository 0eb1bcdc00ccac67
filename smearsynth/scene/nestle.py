"""Cells against cells: one is moved along a ray from another's centre to where both just touch or share a little."""

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene import footprints
from smearsynth.scene.footprints import HEIGHT, WIDTH, X, Y
from smearsynth.scene.table import most_shared
from smearsynth.scene.turns import cosine, sine


@compiled()
def beside(table, n, other, direction):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it would lie against cell `other` if both were round: a cheap first guess."""
    box, target = table.prints.box[n], table.prints.box[other]
    _move(table, n, other, direction, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 4)


@compiled()
def nestle(table, n, other, direction, gap, among_reds, with_others):  # type: ignore[no-untyped-def]
    """Moves the box of cell n to where it lies against cell `other`, as seen from it in `direction`, 1/65536 turn.

    It lies `gap` px beyond the least distance at which both keep the limits of `table.fits`. Where outlines are
    hollow there may be more than one such distance; one of them is taken.
    """
    box, target = table.prints.box[n], table.prints.box[other]
    limit = most_shared(table, n, other, among_reds, with_others)
    too_near, distance = -1, (box[WIDTH] + box[HEIGHT] + target[WIDTH] + target[HEIGHT]) // 2
    while distance - too_near > 1:
        middle = (too_near + distance) // 2
        _move(table, n, other, direction, middle)
        if footprints.share_more(table.prints, n, other, limit, 0, 0):
            too_near = middle
        else:
            distance = middle
    _move(table, n, other, direction, distance + gap)


@compiled()
def _move(table, n, other, direction, distance):  # type: ignore[no-untyped-def]
    box, target, half = table.prints.box[n], table.prints.box[other], ONE // 2
    x = target[X] + (target[WIDTH] - box[WIDTH]) // 2
    y = target[Y] + (target[HEIGHT] - box[HEIGHT]) // 2
    box[X] = x + (distance * cosine(direction) + half) // ONE
    box[Y] = y + (distance * sine(direction) + half) // ONE
