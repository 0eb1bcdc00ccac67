"""Errors that a user reads as a sentence, apart from defects of the program, which keep their traceback.

Whoever raises one knows functions and their arguments, not the options of a command line. So the sentence names none of
them; the arguments that mend it are given beside it, and each caller adds them in its own words: Python as they are,
a command line as options (see `base.command_line`).
"""

from collections.abc import Callable


def printable(line: str) -> str:
    """A line that may quote a file of someone else: what could move a terminal's cursor is spelled out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class SentenceError(Exception):
    """sentence: what is wrong, naming file and key, and what mends it; several are a line each. arguments: names of the
    called function's arguments by which it is mended, if any:

        UserError(f"{out} is not empty: resume it, or choose another folder", "resume", "out")
    """

    def __init__(self, sentence: str, *arguments: str) -> None:
        super().__init__(sentence, *arguments)
        self.sentence, self.arguments = sentence, arguments

    def text(self, name: Callable[[str], str] = str) -> str:
        """The sentence, and behind it the arguments by their `name`; "" leaves out one that the reader cannot give."""
        lines = "\n".join(map(printable, self.sentence.split("\n")))
        names = [named for named in map(name, self.arguments) if named]
        return f"{lines} ({', '.join(names)})" if names else lines

    def __str__(self) -> str:
        return self.text()


class UserError(SentenceError, ValueError):
    """The input is wrong. The command line prints the text without a traceback and ends with exit code 2."""


class ImageError(UserError):
    """An image that is refused. reason: short key that refusals are counted by; str(): the sentence for the user."""

    def __init__(self, reason: str, sentence: str, *arguments: str) -> None:
        super().__init__(sentence, *arguments)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, ...]]:
        return ImageError, (self.reason, self.sentence, *self.arguments)


class WorkError(SentenceError, RuntimeError):
    """The work cannot go on, though the input's form is right. The command line prints the text without a traceback and
    ends with exit code 1."""


def first_line(error: BaseException) -> str:
    """What an error of some library says, in one line."""
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
