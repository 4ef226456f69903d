"""Base class of the models that a file holds: it lets them be copied and pickled."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from dragoman.runtime.contract import CHECKSUM_KEY
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError

Model = TypeVar("Model", bound="LoadedModel")


class LoadedModel:
    """A model that a file holds.

    A pickle of it holds the path and the checksum of the file, so it is small, and other processes need the same file.
    A copy shares the session of ONNX Runtime, which has no state.
    """

    engine: Any
    metadata: Metadata
    path: str | None = None  # absolute; None if the model is not from a file

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, or nothing if the model is not from a file."""
        session = getattr(self.engine, "session", None)
        return str(session.get_modelmeta().custom_metadata_map[CHECKSUM_KEY]) if session else ""

    def __copy__(self: Model) -> Model:
        return self._with(self.metadata)

    def __deepcopy__(self: Model, memo: dict[int, Any]) -> Model:
        return self._with(copy.deepcopy(self.metadata, memo))

    def _with(self: Model, metadata: Metadata) -> Model:
        """Return another model with the same engine."""
        model = type(self)(self.engine, metadata)  # type: ignore[call-arg]  # every subclass takes them
        model.path = self.path
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        name = type(self).__name__
        if self.path is None:
            raise UserError(f"this {name} was not loaded from a file, so it cannot be pickled; export it, then load it")
        threads = self.engine.session.get_session_options().intra_op_num_threads
        return _load_again, (type(self), self.path, self.checksum, threads)


def _load_again(cls: Any, path: str, checksum: str, threads: int) -> LoadedModel:  # noqa: ANN401 (a class with `load`)
    """Return the model of a pickle. Raise ModelFileError unless its file is there and the same."""
    try:
        model: LoadedModel = cls.load(path, threads=threads)
    except ModelFileError as error:
        raise ModelFileError(f"a pickled {cls.__name__} needs its model file: {error}") from None
    if model.checksum != checksum:
        raise ModelFileError(f"{path} is another file than when its {cls.__name__} was pickled; pickle it again")
    return model
