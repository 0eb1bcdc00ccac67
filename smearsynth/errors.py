"""The mistakes that are the user's to mend, told from the program's own failures."""


class UserError(ValueError):
    """The input is wrong. Its text is one clear sentence (one a line, where there are several) that names the
    file, the key and the remedy; the command line prints it without a traceback and ends with exit code 2."""
