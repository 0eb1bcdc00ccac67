"""Who may import whom: a module imports only from rooms above its own, wherever in the module the import stands."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SMEARSYNTH = [
    {
        "taxonomy",
        "errors",
        "files",
        "streams",
        "fixed_point",
        "processes",
        "compiled",
        "images",
        "columns",
        "hdf5",
        "differences",
        "cores",
    },
    {"strict_yaml", "strict_json", "commands", "page"},
    {"fields"},
    {"recipe"},
    {"sources"},
    {"cells"},
    {"scene"},
    {"render"},
    {"shards"},
    {"dataset"},
    {"fidelity"},
    {"engines"},
    {"verbs"},
    {"phantoms"},
    {"cli"},
    {"__main__"},
]
SEGTRAIN = [
    {"spec", "checkpoint", "run", "ranks", "compute", "signals", "machine", "flops", "guard"},
    {"data"},
    {"importing"},
    {"import_pairs"},
    {"models"},
    {"losses"},
    {"metrics"},
    {"schedules"},
    {"progress", "totals"},
    {"config"},
    {"parts"},
    {"identity", "trained"},
    {"engine"},
    {"inference"},
    {"counting"},
    {"evaluation"},
    {"card"},
    {"baseline", "count", "evaluate", "export", "predict"},
    {"report"},
    {"prepare"},
    {"bench", "fit"},
    {"cross_validate"},
    {"comparing"},
    {"compare"},
    {"viewing"},
    {"view"},
    {"cli"},
    {"__main__"},
]
ROOMS = {"smearsynth": SMEARSYNTH, "segtrain": SEGTRAIN}
"""From the top of the tree down; modules of one line are one room."""
SHARED = {
    "shards",
    "fields",
    "files",
    "images",
    "page",
    "hdf5",
    "taxonomy",
    "errors",
    "strict_yaml",
    "strict_json",
    "commands",
    "differences",
    "cores",
}
"""All that segtrain knows of smearsynth, which knows nothing of segtrain."""
ONLY = {
    "strict_yaml": {"errors"},
    "strict_json": set(),
    "commands": {"errors"},
    "images": {"errors"},
    "page": {"images"},
    "fields": {"taxonomy", "errors", "images"},
    "recipe": {"taxonomy", "errors", "strict_yaml"},
    "shards": {"taxonomy", "errors", "files", "hdf5"},
}
"""Rooms that know less than all that is above them."""
NEVER = {"render": {"recipe", "sources"}}
LIGHT = {
    "shards": {"numpy", "h5py", "isal"},
    "strict_yaml": {"pydantic", "pydantic_core", "yaml"},
    "strict_json": set(),
    "commands": {"click"},
    "images": {"numpy", "PIL"},
    "page": {"numpy", "PIL", "jinja2", "markupsafe"},
    "fields": {"numpy", "scipy", "cv2", "tqdm"},
    "hdf5": {"numpy", "h5py"},
    "taxonomy": set(),
    "differences": set(),
    "cores": set(),
    "errors": set(),
}
"""What segtrain loads, and what every command loads: third-party packages that are allowed there."""

MODULES = sorted(
    file.relative_to(ROOT)
    for package in ROOMS
    for file in (ROOT / package).rglob("*.py")
    if file != ROOT / package / "__init__.py"
)


def imported(source: str) -> set[str]:
    """Dotted names of everything that is imported at any depth of the code."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = node.module in ROOMS
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if whole else {str(node.module)}
        elif isinstance(node, ast.Name | ast.Attribute):
            called = node.id if isinstance(node, ast.Name) else node.attr
            assert called not in ("import_module", "__import__"), "an import that cannot be read from the code"
    return names


def forbidden(package: str, module: str, source: str) -> set[str]:
    """Rooms and packages that `source`, standing in the room `module` of `package`, imports against the rules."""
    rooms, names = ROOMS[package], imported(source)
    own, other = (
        {name.split(".")[1] for name in names if name.startswith(f"{p}.")}
        for p in (package, *(ROOMS.keys() - {package}))
    )
    room = next(i for i, names in enumerate(rooms) if module in names)
    allowed = set().union(*rooms[: room + 1])
    if package == "segtrain":
        return (own - allowed) | (other - SHARED)
    allowed = (ONLY.get(module, allowed) - NEVER.get(module, set())) | rooms[room]
    third = {name.split(".")[0] for name in names} - {package} - sys.stdlib_module_names
    return (own - allowed) | other | (third - LIGHT[module] if module in LIGHT else set())


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_from_rooms_above_it(path: Path) -> None:
    package, module = path.parts[0], path.parts[1].removesuffix(".py")
    assert forbidden(package, module, (ROOT / path).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("package", "module", "source", "found"),
    [
        ("segtrain", "engine", "from segtrain import checkpoint\nfrom segtrain.prepare import prepare", {"prepare"}),
        (
            "segtrain",
            "data",
            "from smearsynth.shards.reader import ShardReader\nimport smearsynth.cells.bank",
            {"cells"},
        ),
        ("segtrain", "cli", "def f():\n    from smearsynth.verbs.build import build", {"verbs"}),
        ("smearsynth", "cells", "from segtrain.data import samples", {"data"}),
        ("smearsynth", "render", "def f():\n    from smearsynth.recipe import load", {"recipe"}),
        ("smearsynth", "render", "from smearsynth import cells, recipe", {"recipe"}),
        ("smearsynth", "recipe", "import smearsynth.sources.files", {"sources"}),
        ("smearsynth", "cells", "if x:\n    import smearsynth.scene.plan as plan", {"scene"}),
        ("smearsynth", "shards", "from smearsynth.cells.bank import Bank\nimport cv2.typing", {"cells", "cv2"}),
        ("smearsynth", "shards", "import os, numpy\nfrom smearsynth.shards.format import X", set()),
        ("smearsynth", "dataset", "from smearsynth.cells.bank import Bank\nimport tqdm", set()),
    ],
)
def test_the_rules_bite(package: str, module: str, source: str, found: set[str]) -> None:
    assert forbidden(package, module, source) == found


def test_no_room_of_smearsynth_takes_the_place_of_a_verb() -> None:
    beside = {path.parts[1].removesuffix(".py") for path in MODULES if path.parts[0] == "smearsynth"}
    spoken = ast.parse((ROOT / "smearsynth/__init__.py").read_text(encoding="utf-8"))
    [verbs] = [n.value for n in spoken.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    assert not beside & set(ast.literal_eval(verbs))


@pytest.mark.parametrize("package", ROOMS)
def test_the_command_line_loads_only_click_and_what_commands_share_at_its_start(package: str) -> None:
    files = [ROOT / path for path in MODULES if path.parts[:2] in ((package, "cli"), (package, "cli.py"))]
    body = [node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body]
    start = ast.unparse(ast.Module([n for n in body if isinstance(n, ast.Import | ast.ImportFrom)], []))
    names = {n for n in imported(start) if n.split(".")[0] not in sys.stdlib_module_names}
    assert {n for n in names if not n.startswith(f"{package}.cli")} == {"click", "smearsynth.commands"}
