"""The two ways in which a command ends early: a mistake of the user, or an interruption by the user."""

from __future__ import annotations


class UserError(ValueError):
    """What was given, where, and what would be right, in one sentence. Commands print it and exit with 2."""


class Interrupted(Exception):
    """Ended by Ctrl-C, in good order. Commands print what is said and exit with 130."""
