"""The builder of line protocol that every plugin finds among the builtins.

Names, texts and the attributes `measurement`, `tags`, `fields` are those of InfluxDB 3 Core,
because plugins use them; `fields` holds values as they will stand in the line.
Pure; a builder belongs to one thread.

Source: InfluxDB 3 Core plugin API, "LineBuilder".
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = [
    "InfluxDBError",
    "InvalidKeyError",
    "InvalidLineError",
    "InvalidMeasurementError",
    "LineBuilder",
]

_TAG_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", "=": "\\=", " ": "\\ "})
_STRING_ESCAPES = (("\\", "\\\\"), ('"', '\\"'))
_FORBIDDEN_IN_KEYS = {" ": "spaces", ",": "commas", "=": "equals signs"}


class InfluxDBError(Exception):
    """What a `LineBuilder` raises."""


class InvalidMeasurementError(InfluxDBError):
    """The measurement cannot be named so."""


class InvalidKeyError(InfluxDBError):
    """The tag or field cannot be named so."""


class InvalidLineError(InfluxDBError):
    """What was given so far makes no line."""


class LineBuilder:
    """Builds one line; every method but `build` returns the builder.

    Setting a tag or field again replaces its value and keeps its place. What the server will
    refuse for its value (a float given as integer, NaN) is passed on: the answer is the server's.
    """

    def __init__(self, measurement: str) -> None:
        if " " in measurement:
            raise InvalidMeasurementError("Measurement name cannot contain spaces")
        self.measurement = measurement
        self.tags: OrderedDict[str, str] = OrderedDict()
        self.fields: OrderedDict[str, str] = OrderedDict()
        self._timestamp_ns: int | None = None

    def tag(self, key: str, value: object) -> LineBuilder:
        """Set a tag to the text of a value."""
        _check_key("tag", key)
        self.tags[key] = str(value)
        return self

    def int64_field(self, key: str, value: int) -> LineBuilder:
        """Set an integer field."""
        return self._set_field(key, f"{value}i")

    def uint64_field(self, key: str, value: int) -> LineBuilder:
        """Set an unsigned integer field.

        Raises:
            ValueError: the value is negative.
        """
        _check_key("field", key)
        if value < 0:
            raise ValueError(f"uint64 field '{key}' cannot be negative")
        return self._set_field(key, f"{value}u")

    def float64_field(self, key: str, value: float) -> LineBuilder:
        """Set a float field; a whole number is written with `.0`."""
        _check_key("field", key)
        is_whole = value % 1 == 0
        return self._set_field(key, f"{int(value)}.0" if is_whole else str(value))

    def string_field(self, key: str, value: str) -> LineBuilder:
        """Set a string field."""
        _check_key("field", key)
        for character, escaped in _STRING_ESCAPES:
            value = value.replace(character, escaped)
        return self._set_field(key, f'"{value}"')

    def bool_field(self, key: str, value: object) -> LineBuilder:
        """Set a boolean field to whether a value is true."""
        return self._set_field(key, "t" if value else "f")

    def time_ns(self, timestamp_ns: int | None) -> LineBuilder:
        """Set the time, nanoseconds since the epoch; None leaves it to the server."""
        self._timestamp_ns = timestamp_ns
        return self

    def build(self) -> str:
        """Return the line.

        Raises:
            InvalidLineError: there is no field.
        """
        series = [self.measurement.replace(",", "\\,").replace(" ", "\\ ")]
        series += [f"{key}={value.translate(_TAG_ESCAPES)}" for key, value in self.tags.items()]
        head = ",".join(series)
        if not self.fields:
            raise InvalidLineError(f"At least one field is required: {head}")
        pairs = [f"{_escape_backslash(key)}={value}" for key, value in self.fields.items()]
        line = f"{head} {','.join(pairs)}"
        return line if self._timestamp_ns is None else f"{line} {self._timestamp_ns}"

    def _set_field(self, key: str, text: str) -> LineBuilder:
        _check_key("field", key)
        self.fields[key] = text
        return self


def _escape_backslash(key: str) -> str:
    return key.replace("\\", "\\\\")


def _check_key(kind: str, key: str) -> None:
    if not key:
        raise InvalidKeyError(f"{kind} key cannot be empty")
    for character, name in _FORBIDDEN_IN_KEYS.items():
        if character in key:
            raise InvalidKeyError(f"{kind} key '{key}' cannot contain {name}")
