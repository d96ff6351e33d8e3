"""What a validation does about damage: it notes it and goes on."""

from __future__ import annotations

from recsys.config import DataConfig
from recsys.data.guard import Damage, Guard, Kind
from recsys.data.validation.findings import Findings
from recsys.errors import InputError


class Notes(Guard):
    """A guard that nothing stops. What would stop a job becomes an error, what `data.on_error` skips a warning."""

    def __init__(self, config: DataConfig, found: Findings) -> None:
        super().__init__(timeout=config.timeout)
        self._policies, self._found = config.on_error, found

    def skip(self, error: InputError) -> Kind:
        """Note it."""
        kind: Kind = error.kind if isinstance(error, Damage) else "value"
        self.note(kind, str(error))
        return kind

    def note(self, kind: Kind, message: str) -> None:
        """Note damage of a kind."""
        if getattr(self._policies, kind) == "skip":
            self._found.warning(kind, f"{message} (data.on_error.{kind}: skip)")
        else:
            self._found.error(kind, message)


class Silence(Guard):
    """A guard that nothing stops and that says nothing, because somebody else will."""

    def skip(self, error: InputError) -> Kind:
        """Go on."""
        return error.kind if isinstance(error, Damage) else "value"
