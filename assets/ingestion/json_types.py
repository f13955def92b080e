"""The Arrow type of each key over a stream of JSON objects, as a mergeable summary."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

MAX_DEPTH = 16
MAX_FIELDS = 256
_EXACT_INT = 1 << 53

_BOOL, _INT, _WIDE, _BIG, _FLOAT, _STRING, _OBJECT, _ARRAY, _DEEP = (1 << i for i in range(9))


class TypeNode:
    """What kinds of value were seen in one place.

    `merge` is commutative and associative, so the result depends on no order (the order of a
    struct's fields apart, which is that of first appearance in the file).
    """

    __slots__ = ("fields", "items", "kinds")

    def __init__(self) -> None:
        self.kinds = 0
        self.fields: dict[str, TypeNode] | None = None
        self.items: TypeNode | None = None

    def observe(self, value: Any, depth: int = 0) -> None:  # noqa: ANN401 - a JSON value
        """Take one value into account; None adds nothing."""
        kind = type(value)
        if kind is str:
            self.kinds |= _STRING
        elif kind is int:
            size = abs(value)
            if size <= _EXACT_INT:
                self.kinds |= _INT
            elif -(1 << 63) <= value < 1 << 63:
                self.kinds |= _INT | _WIDE
            else:
                self.kinds |= _BIG
        elif kind is float:
            self.kinds |= _FLOAT
        elif kind is bool:
            self.kinds |= _BOOL
        elif kind is dict:
            self._observe_object(value, depth)
        elif kind is list:
            self._observe_array(value, depth)

    def _observe_object(self, value: dict[str, Any], depth: int) -> None:
        self.kinds |= _OBJECT
        if depth >= MAX_DEPTH:
            self.kinds |= _DEEP
        if self.kinds & _DEEP:
            return
        fields = self.fields
        if fields is None:
            fields = self.fields = {}
        for key, item in value.items():
            node = fields.get(key)
            if node is None:
                if len(fields) >= MAX_FIELDS:
                    self.kinds |= _DEEP
                    return
                node = fields[key] = TypeNode()
            node.observe(item, depth + 1)

    def _observe_array(self, value: list[Any], depth: int) -> None:
        self.kinds |= _ARRAY
        if depth >= MAX_DEPTH:
            self.kinds |= _DEEP
        if self.kinds & _DEEP:
            return
        if self.items is None:
            self.items = TypeNode()
        for item in value:
            self.items.observe(item, depth + 1)

    def merge(self, other: TypeNode) -> None:
        """Take over what another node saw."""
        self.kinds |= other.kinds
        for key, node in (other.fields or {}).items():
            self.fields = {} if self.fields is None else self.fields
            self.fields.setdefault(key, TypeNode()).merge(node)
        if len(self.fields or ()) > MAX_FIELDS:
            self.kinds |= _DEEP
        if other.items is not None:
            self.items = TypeNode() if self.items is None else self.items
            self.items.merge(other.items)

    def result(self) -> pa.DataType | None:
        """Return the Arrow type, or None where only the JSON text can hold all values.

        bool, int64, float64 (integers mixed in only while a float holds them exactly), string, or a
        struct or list of these. None: mixed kinds, integers beyond 64 bits, objects without fields
        or with more than 256, nesting beyond 16 levels. Nothing but nulls: string.
        """
        kinds = self.kinds
        plain = {0: pa.string(), _BOOL: pa.bool_(), _STRING: pa.string(), _FLOAT: pa.float64()}
        if kinds in plain:
            return plain[kinds]
        if kinds in (_INT, _INT | _WIDE):
            return pa.int64()
        if kinds == _INT | _FLOAT:
            return pa.float64()
        if kinds == _OBJECT and self.fields:
            types = {key: node.result() for key, node in self.fields.items()}
            # the formats below compare field names without regard to case
            distinct = len({key.casefold() for key in types}) == len(types)
            if distinct and "" not in types and all(t is not None for t in types.values()):
                return pa.struct(list(types.items()))
        if kinds == _ARRAY and self.items is not None:
            inner = self.items.result()
            return None if inner is None else pa.list_(inner)
        return None
