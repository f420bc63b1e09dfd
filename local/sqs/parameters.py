"""The members of a request, read with their types."""

from typing import Any

from local.sqs.errors import InvalidParameterValueException, MissingRequiredParameterException, SerializationException


class Parameters:
    """One JSON object of a request. Members that nobody asks for are ignored, as at AWS."""

    def __init__(self, members: Any) -> None:
        """Raises SerializationException unless `members` is an object."""
        if not isinstance(members, dict):
            raise SerializationException("A JSON object is expected.")
        self._members: dict[str, Any] = members

    def text(self, name: str) -> str:
        """A required, non-empty string. Raises MissingRequiredParameterException, SerializationException."""
        value = self.text_or_none(name)
        if not value:
            raise MissingRequiredParameterException(f"The request must contain the parameter {name}.")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or None when it is absent. Raises SerializationException."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, str):
            raise SerializationException(f"{name} must be a string.")
        return value

    def whole(self, name: str, lowest: int, highest: int) -> int:
        """A required whole number. Raises as `whole_or_none`, and MissingRequiredParameterException."""
        value = self.whole_or_none(name, lowest, highest)
        if value is None:
            raise MissingRequiredParameterException(f"The request must contain the parameter {name}.")
        return value

    def whole_or_none(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number in a range, or None. Raises SerializationException, InvalidParameterValueException."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise SerializationException(f"{name} must be a whole number.")
        if not lowest <= value <= highest:
            raise InvalidParameterValueException(
                f"Value for parameter {name} is invalid. Reason: Must be between {lowest} and {highest}, if provided."
            )
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings, empty when absent. Raises SerializationException."""
        values = self._members.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise SerializationException(f"{name} must be a list of strings.")
        return values

    def text_map(self, name: str) -> dict[str, str]:
        """An object of strings, empty when absent. Raises SerializationException."""
        values = self._members.get(name) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise SerializationException(f"{name} must be a map of strings.")
        return values

    def object_map(self, name: str) -> dict[str, "Parameters"]:
        """An object of objects, empty when absent. Raises SerializationException."""
        values = self._members.get(name) or {}
        if not isinstance(values, dict):
            raise SerializationException(f"{name} must be a map.")
        return {key: Parameters(value) for key, value in values.items()}

    def objects(self, name: str) -> list["Parameters"]:
        """A list of objects, empty when absent. Raises SerializationException."""
        values = self._members.get(name) or []
        if not isinstance(values, list):
            raise SerializationException(f"{name} must be a list.")
        return [Parameters(value) for value in values]
