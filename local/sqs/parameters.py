"""The typed members of a request."""

from typing import Any

from local.sqs.errors import InvalidParameterValueException, MissingRequiredParameterException, SerializationException

_KINDS: dict[type, str] = {str: "a string", int: "a whole number", list: "a list", dict: "a map"}


class Parameters:
    """One JSON object of a request. Unread members are ignored, as at AWS.

    Every method raises SerializationException if a member has another type.
    """

    def __init__(self, members: Any) -> None:
        if not isinstance(members, dict):
            raise SerializationException("A JSON object is expected.")
        self._members: dict[str, Any] = members

    def text(self, name: str) -> str:
        """A required, non-empty string. Raises MissingRequiredParameterException."""
        value = self.optional_text(name)
        if not value:
            raise MissingRequiredParameterException(f"The request must contain the parameter {name}.")
        return value

    def optional_text(self, name: str) -> str:
        """A string, empty if absent."""
        return self._read(name, str) or ""

    def number(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number in a range, or None when absent. Raises InvalidParameterValueException."""
        value = self._read(name, int)
        if value is not None and not lowest <= value <= highest:
            raise InvalidParameterValueException(f"{name} must be between {lowest} and {highest}.")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings, empty when absent."""
        values = self._read(name, list) or []
        return [Parameters({name: value}).optional_text(name) for value in values]

    def text_map(self, name: str) -> dict[str, str]:
        """An object of strings, empty when absent."""
        values = self._read(name, dict) or {}
        return {key: Parameters(values).optional_text(key) for key in values}

    def objects(self, name: str) -> list["Parameters"]:
        """A list of objects, empty when absent."""
        return [Parameters(value) for value in self._read(name, list) or []]

    def object_map(self, name: str) -> dict[str, "Parameters"]:
        """An object of objects, empty when absent."""
        return {key: Parameters(value) for key, value in (self._read(name, dict) or {}).items()}

    def _read[T](self, name: str, kind: type[T]) -> T | None:
        value = self._members.get(name)
        if value is not None and type(value) is not kind:  # not isinstance: true is not a number
            raise SerializationException(f"{name} must be {_KINDS[kind]}.")
        return value
