"""What ends a command early: a user's mistake, or the user."""

from __future__ import annotations


class UserError(ValueError):
    """What was given, where, and what would be right, in one sentence. Commands print it and exit with 2."""


class Interrupted(Exception):
    """Ended by Ctrl-C, in good order. Commands print what is said and exit with 130."""
