"""What a user must hear in a sentence, told from the program's own defects."""


def printable(line: str) -> str:
    """A line that may quote a file of someone else: what could move a terminal's cursor is spelled out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class UserError(ValueError):
    """The input is wrong. Its text is one clear sentence (one a line, where there are several) that names the
    file, the key and the remedy; the command line prints it without a traceback and ends with exit code 2."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class WorkError(RuntimeError):
    """The work cannot go on, though the input's form is right. Its text is one clear sentence; the command line prints
    it without a traceback and ends with exit code 1."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


def first_line(error: BaseException) -> str:
    """What an error of some library says, in one line."""
    return (str(error).strip("'\"").splitlines() or [type(error).__name__])[0]
