import math
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cache import Cache, Namespace
from worker.plain import pack_plain, unpack_plain
from worker.wire import Fault
from worker.wire import messages as m

SECOND_NS = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 100 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


class Setting:
    """A cache with a clock in the hand and an engine that answers from a dict."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.namespace = Namespace(self.clock)
        self.shared: dict[str, bytes] = {}
        self.calls: list[m.Message] = []
        self.warnings: list[str] = []
        self.cache = Cache(self.namespace, self.answer, self.warnings.append)

    def answer(self, call: m.Message) -> m.Message:
        self.calls.append(call)
        match call:
            case m.CachePutCall(key, value, _):
                self.shared[key] = value
                return m.DoneReply()
            case m.CacheGetCall(key):
                return m.CacheReply(key in self.shared, self.shared.get(key))
            case m.CacheDeleteCall(key):
                return m.CacheReply(self.shared.pop(key, None) is not None, None)
            case _:
                return m.FaultReply(Fault("x", "what?"))


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_get_returns_the_very_object(setting: Setting) -> None:
    value = object()

    setting.cache.put("k", value)

    assert setting.cache.get("k") is value


def test_a_stored_none_is_not_the_default(setting: Setting) -> None:
    setting.cache.put("k", None)

    assert setting.cache.get("k", 1) is None
    assert setting.cache.get("missing", default=1) == 1


def test_a_value_lives_until_its_time(setting: Setting) -> None:
    setting.cache.put("k", 1, 5)

    setting.clock.now_ns += 5 * SECOND_NS - 1
    before = setting.cache.get("k")
    setting.clock.now_ns += 1

    assert (before, setting.cache.get("k", "gone")) == (1, "gone")
    assert setting.cache.delete("k") is False


def test_no_time_is_over_at_once_and_a_new_put_clears_the_time(setting: Setting) -> None:
    setting.cache.put("now", 1, ttl=0)
    setting.cache.put("k", 1, ttl=1)
    setting.cache.put("k", 2)
    setting.clock.now_ns += 2 * SECOND_NS

    assert setting.cache.get("now") is None
    assert setting.cache.get("k") == 2


def test_delete_tells_of_an_expired_value_that_is_still_there(setting: Setting) -> None:
    setting.cache.put("k", 1, ttl=0)

    assert setting.cache.delete("k") is True
    assert setting.cache.delete("k") is False


def test_a_sweep_drops_what_has_expired_every_ten_seconds(setting: Setting) -> None:
    setting.namespace.sweep()
    setting.cache.put("short", 1, ttl=1)
    setting.cache.put("long", 1, ttl=100)

    setting.clock.now_ns += 9 * SECOND_NS
    setting.namespace.sweep()
    early = set(setting.namespace.entries)
    setting.clock.now_ns += SECOND_NS
    setting.namespace.sweep()

    assert early == {"short", "long"}
    assert set(setting.namespace.entries) == {"long"}


@pytest.mark.parametrize(
    ("ttl", "kind", "complaint"),
    [
        (-1, ValueError, "cannot convert float seconds to Duration: value is negative"),
        (
            math.nan,
            ValueError,
            "cannot convert float seconds to Duration: value is either too big or NaN",
        ),
        (
            math.inf,
            ValueError,
            "cannot convert float seconds to Duration: value is either too big or NaN",
        ),
        ("5", TypeError, "argument 'ttl': must be real number, not str"),
    ],
)
def test_a_bad_time_keeps_the_old_value(
    setting: Setting, ttl: float, kind: type[Exception], complaint: str
) -> None:
    setting.cache.put("k", "old")

    with pytest.raises(kind) as caught:
        setting.cache.put("k", "new", ttl)

    assert str(caught.value) == complaint
    assert setting.cache.get("k") == "old"


def test_a_key_must_be_text(setting: Setting) -> None:
    for attempt in (
        lambda: setting.cache.put(1, 1),  # type: ignore[arg-type]
        lambda: setting.cache.get(1),  # type: ignore[arg-type]
        lambda: setting.cache.delete(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="argument 'key'"):
            attempt()


def test_a_very_long_time_is_for_ever(setting: Setting) -> None:
    setting.cache.put("k", 1, 1e15)

    assert setting.namespace.entries["k"].expires_ns is None


def test_the_global_namespace_is_asked_and_gives_new_objects(setting: Setting) -> None:
    value = {"a": [1, (2.5, None)], 3: b"x"}

    setting.cache.put("k", value, 5, True)
    first = setting.cache.get("k", use_global=True)

    assert first == value
    assert first is not setting.cache.get("k", use_global=True)
    assert setting.calls[0] == m.CachePutCall("k", pack_plain(value), 5.0)
    assert setting.cache.get("k") is None
    assert setting.cache.delete("k", True) is True
    assert setting.cache.get("k", "gone", True) == "gone"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1, 2}, "builtins.set"),
        ([{"deep": object()}], "builtins.object"),
        (OrderedDict(), "collections.OrderedDict"),
        (math, "builtins.module"),
    ],
)
def test_what_is_not_plain_is_named(setting: Setting, value: object, name: str) -> None:
    with pytest.raises(TypeError, match=rf"not {name}$"):
        setting.cache.put("k", value, use_global=True)
    assert setting.calls == []


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(), inner)
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    restored = unpack_plain(pack_plain(value))

    assert restored == value
    assert type(restored) is type(value)


def test_what_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(ValueError, match="nests too deep"):
        pack_plain(value)
