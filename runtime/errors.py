"""The one kind of error that is a user's to mend."""

from __future__ import annotations


class UserError(ValueError):
    """What was given, where, and what would be right, in one sentence. Commands print it and exit with 2."""
