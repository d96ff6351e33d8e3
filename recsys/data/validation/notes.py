"""What a validation does about damage: it notes it and goes on."""

from __future__ import annotations

from recsys.config import DataConfig
from recsys.data.guard import Guard, Kind, kind_of
from recsys.data.validation.findings import Findings
from recsys.errors import InputError


class Notes(Guard):
    """A guard that nothing stops. What would stop a job becomes an error, what `data.on_error` skips a warning."""

    def __init__(self, config: DataConfig, found: Findings) -> None:
        super().__init__(timeout=config.timeout)
        self._policies, self._found = config.on_error, found
        self._files: dict[tuple[Kind, str], list[str]] = {}

    def skip(self, error: InputError) -> Kind:
        """Note it."""
        kind = kind_of(error)
        file, _, what = str(error).partition(": ")
        self._files.setdefault((kind, what), []).append(file)
        return kind

    def tell(self) -> None:
        """Add what was noted to the findings; what is the same in several files as one line."""
        for (kind, what), files in self._files.items():
            self.note(kind, f"{min(files)}: {what}" + (f" (the same in {len(files) - 1} more places)" if len(files) > 1 else ""))
        self._files.clear()

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
        return kind_of(error)
