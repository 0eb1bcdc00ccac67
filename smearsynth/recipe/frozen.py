"""The recipe's `frozen`: the set that was once published from it, which a later build is held against."""

from typing import Annotated

from pydantic import Field

from smearsynth.recipe.base import Spec

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Scenes = Annotated[int, Field(ge=0)]


class CountSpec(Spec):
    """Scenes per split of the frozen set."""

    train: Scenes = Field(description="scenes for training")
    val: Scenes = Field(description="scenes for validation")
    test: Scenes = Field(description="scenes for testing")


class FrozenSpec(Spec):
    """What a build must have in common with the frozen set to claim its digest; all of it stands in the set's index.

    A build that differs in anything but the digest is another set: it is made, and says why it does not claim the
    digest. One that differs in the digest alone is wrong, and ends so.
    """

    format_version: int = Field(ge=1, description="version of the shard format that the set was built with")
    generator_version: int = Field(ge=1, description="version of the generator that the set was built with")
    recipe_hash: Sha256 = Field(description="hash of all keys that decide samples, sha256")
    bank_digest: Sha256 = Field(description="digest of the cells that the set was drawn from, sha256")
    count: CountSpec = Field(description="scenes per split")
    digest: Sha256 = Field(description="digest of the set, sha256: what the build must come to")
