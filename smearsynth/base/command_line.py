"""What the command lines of both packages have in common: exit codes, options, results as text or JSON.

Results go to stdout, progress and errors to stderr. Exit code 0: done; 1: it failed while working; 2: what the user
gave is wrong, which takes a sentence and no traceback.
"""

import errno
import json
import os
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from smearsynth.base.errors import UserError, WorkError


class NewFile(click.Path):
    """A file to be written: refused before the work begins where no file can be."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]
        if not path.absolute().parent.is_dir():
            self.fail(f"{path}: its folder is not there; make it first", param, ctx)
        if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            self.fail(f"{path}: its folder may not be written to; name another", param, ctx)
        return path


class Commands(click.Group):
    """Tells a user's mistake from a failure of the work, and either from a defect of the program.

    This is the one place where a function's argument gets the name of its option.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UserError, WorkError) as error:
            params = self.commands[ctx.invoked_subcommand or ""].params
            names = {param.name: param.opts[0] if isinstance(param, click.Option) else "" for param in params}
            click.echo(error.text(lambda argument: names.get(argument) or ""), err=True)
            ctx.exit(2 if isinstance(error, UserError) else 1)
        except BrokenPipeError:
            raise
        except OSError as error:
            click.echo(f"The work failed: {_cause(error)}", err=True)
            ctx.exit(1)


def _cause(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room and try again, a run that was under way with --resume"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

PATH = click.Path(path_type=Path)
NEW_FILE = NewFile()
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(as_json: bool, values: Mapping[str, Any], text: Callable[[], str]) -> None:
    """Prints a result: `values` as JSON, or `text`."""
    click.echo(json.dumps(values, indent=2, default=str) if as_json else text())


def columns(head: Sequence[str], rows: Sequence[Sequence[object]], *, text: Container[str] = ()) -> str:
    """Head and rows in columns; those whose name is in `text` to the left, figures to the right. "" without rows."""
    if not rows:
        return ""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    forms = [f"{{:{'<' if name in text else '>'}{width}}}" for name, width in zip(head, widths, strict=True)]
    return "\n".join("  ".join(forms).format(*row).rstrip() for row in cells)
