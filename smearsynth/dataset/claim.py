"""Whether a set is the one that its recipe calls frozen.

Equal digests say that two sets hold the same pixels, and only sets of one generator, recipe, bank and count can have
them. So a set that differs in one of these does not claim the digest, and one that differs in none must have it.
"""

from collections.abc import Mapping
from typing import Any

from smearsynth.differences import differences, shown

_SAME = ("format_version", "generator_version", "recipe_hash", "bank_digest")


def claim(frozen: Mapping[str, Any] | None, index: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an index says of the recipe's `frozen`, given as plain data: None where there is none.

    digest: of the frozen set. refused: a sentence for everything that makes this another set, [] where it is that one.
    wrong: whether it should be that one and is not.
    """
    if frozen is None:
        return None
    count = {split: part["scenes"] for split, part in index["splits"].items()}
    built = {**{key: index[key] for key in _SAME}, "count": count}
    found = differences({key: frozen[key] for key in built}, built)
    wrong = not found and frozen["digest"] != index["digest"]
    if wrong:
        found = differences({"digest": frozen["digest"]}, {"digest": index["digest"]})
    refused = [f"{d.path} is {shown(d.new)} here and {shown(d.old)} there" for d in found]
    return {"digest": frozen["digest"], "refused": refused, "wrong": wrong}


def claim_of(index: Mapping[str, Any]) -> str:
    """What an index says of it in a sentence, "" where its recipe calls no set frozen."""
    told = index["claim"]
    if told is None:
        return ""
    frozen = f"the frozen set of {index['name']}"
    if not told["refused"]:
        return f"This is {frozen}: its digest is the one in the recipe."
    because = "; ".join(told["refused"])
    if told["wrong"]:
        return f"This should be {frozen}, made the same way from the same cells, and is not: {because}."
    return f"This is not {frozen}, and does not claim its digest: {because}."
