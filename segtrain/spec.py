"""What the parts of a training's configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of configuration models: an unknown key is an error, values never change, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
