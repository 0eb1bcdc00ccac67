"""Who may import whom stands in pyproject.toml; what importing leaves behind is tried here."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_data_flows_one_way() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_every_verb_is_a_function_after_every_module_was_imported() -> None:
    code = (
        "import importlib, pkgutil, sys, types\n"
        "packages = [importlib.import_module(name) for name in ('smearsynth', 'segtrain')]\n"
        "for package in packages:\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "for package in packages:\n"
        "    print(*[name for name in package.__all__ if not isinstance(getattr(package, name), types.FunctionType)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_stands_for_one_thing() -> None:
    """Modules by their file's name, but for those that each package has one of; classes by their own."""
    modules = [file for package in ("smearsynth", "segtrain") for file in (ROOT / package).rglob("*.py")]
    names = Counter(file.stem for file in modules) - Counter(dict.fromkeys(("cli", "report", "fields"), 1))
    assert [name for name, count in names.items() if count > 1 and not name.startswith("__")] == []
    classes = Counter(
        node.name
        for file in modules
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in classes.items() if count > 1] == []
