import pytest
from pydantic import TypeAdapter, ValidationError

from smearsynth.base.errors import UserError
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import COMBINATIONS, SceneSpec

LOOKS = TypeAdapter(tuple[LookSpec, ...])


def test_there_are_108_combinations_and_36_clinical_ones():
    assert len(COMBINATIONS) == len(SceneSpec().chosen()) == 108
    assert len({c.foreground for c in COMBINATIONS.values()}) == 36
    clinical = SceneSpec(backgrounds="clinical").chosen()
    assert len(clinical) == 36
    assert {c.background for c in clinical} == {"mixed"}


def test_chosen_does_not_depend_on_the_order_in_the_recipe():
    names = ["thrombocyte/mixed", "none/healthy"]
    assert SceneSpec(combinations=names).chosen() == SceneSpec(combinations=names[::-1]).chosen()
    assert [c.name for c in SceneSpec(combinations=names).chosen()] == ["none/healthy", "thrombocyte/mixed"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"combinations": ["none/helthy"]}, 'there is no combination "none/helthy": the nearest is "none/healthy"'),
        ({"combinations": ["lymphocyte+neutrophil/mixed"]}, 'nearest is "neutrophil.lymphocyte/mixed"'),
        ({"combinations": ["none/mixed", "none/mixed"]}, '"none/mixed" is named twice'),
        ({"backgrounds": "clinical", "combinations": ["monocyte/healthy"]}, 'name "monocyte/mixed"'),
        ({"density_range": (0.5, 0.4)}, "above the high end"),
        ({"density_range": (0.1, 0.9)}, r"density_range.1\n.*at most 0.8"),
        ({"scale_range": (0.95, float("nan"))}, "finite"),
        ({"overlap": -0.1}, r"overlap\n.*at least 0"),
        ({"max_objects": 65_535}, "65534"),
        ({"densety_range": (0.1, 0.2)}, "densety_range"),
    ],
)
def test_faults_are_refused_with_their_remedy(spec, words):
    with pytest.raises(ValidationError, match=words):
        SceneSpec(**spec)


def test_rows_follow_the_size_until_ids_run_out():
    assert SceneSpec().rows((224, 224)) == SceneSpec().rows((64, 64)) == 64
    assert SceneSpec().rows((300, 500)) == 192
    assert SceneSpec(max_objects=300).rows((9000, 9000)) == 300
    with pytest.raises(UserError, match="65534"):
        SceneSpec().rows((9000, 9000))


def test_looks_are_names_or_mappings_and_survive_writing():
    looks = LOOKS.validate_python(["natural", "reference", {"name": "flat", "illumination_range": [0, 0]}])
    assert [(k.name, k.base) for k in looks] == [
        ("natural", "natural"),
        ("reference", "reference"),
        ("flat", "natural"),
    ]
    assert looks[2].illumination_range == (0, 0)
    assert looks[2].glass_range == looks[0].glass_range
    assert LOOKS.validate_json(LOOKS.dump_json(looks)) == looks
    assert LOOKS.dump_python(looks)[1] == {"name": "reference", "base": "reference"}


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ("natrual", 'did you mean "natural"'),
        ({"name": "hard", "base": "reference", "glass_range": [1, 2]}, "reference has no parameters"),
        ({"base": "natural"}, "name"),
        ({"name": "two words"}, "name\n.*may not be 'two words'"),
        ({"name": "x", "glass_range": [0, 9]}, r"glass_range.0\n.*at least 1"),
    ],
)
def test_faulty_looks_are_refused(look, words):
    with pytest.raises(ValidationError, match=words):
        LOOKS.validate_python([look])
