import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter, InvalidTriggerSpec
from engine.model.trigger import (
    AllTablesSpec,
    CronSpec,
    ErrorBehavior,
    EverySpec,
    Kind,
    RequestSpec,
    TableSpec,
    TriggerSpec,
    kind,
    parse_error_behavior,
    parse_origins,
    parse_spec,
    spec_from_json,
    spec_json,
    spec_text,
)

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("table:cpu", TableSpec("cpu")),
        (" table: two words ", TableSpec("two words")),
        ("table:a:b", TableSpec("a:b")),
        ("all_tables", AllTablesSpec()),
        ("all-tables", AllTablesSpec()),
        ("all_tables:", AllTablesSpec()),
        ("cron:0 */5 * * * *", CronSpec("0 */5 * * * *")),
        ("schedule:0 0 0 * * mon 2030", CronSpec("0 0 0 * * mon 2030")),
        ("cron:*/5 * * * *", CronSpec("0 */5 * * * *")),
        ("cron: @hourly", CronSpec("@hourly")),
        ("every:1m 30s", EverySpec(90 * S)),
        ("every:1ms", EverySpec(1_000_000)),
        ("every:1y", EverySpec(31_557_600 * S)),
        ("request:hello", RequestSpec("hello")),
        ("request:/a/b", RequestSpec("/a/b")),
    ],
)
def test_accepted_spellings(text: str, spec: TriggerSpec) -> None:
    assert parse_spec(text) == spec


_FORMS = (
    "expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', "
    "'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'"
)
_SPELLING = "; write 'every' in small letters and without spaces before the colon"


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("foo", _FORMS),
        ("", _FORMS),
        ("table:  ", "table name is empty"),
        ("request:", "request path is empty"),
        ("every:0s", "don't support every schedules of under 1 millisecond"),
        ("every:1y 1s", "don't support every schedules of over 1 year"),
        ("every:5", "couldn't parse to duration: time unit needed after 5, for example 5s or 5ms"),
        ("cron:61 * * * * *", "61 is no second; the range is 0 to 59"),
        ("5m", f"{_FORMS}; did you mean 'every:5m'?"),
        ("0 * * * *", f"{_FORMS}; did you mean 'cron:0 * * * *'?"),
        ("/x", f"{_FORMS}; did you mean 'request:x'?"),
        ("Every:5m", f"{_FORMS}{_SPELLING}"),
    ],
)
def test_refusals_say_what_is_wrong_and_what_to_write(text: str, context: str) -> None:
    with pytest.raises(InvalidTriggerSpec) as caught:
        parse_spec(text)

    assert str(caught.value) == f"failed to parse trigger from {text.strip()}: {context}"


@pytest.mark.parametrize(
    ("spec", "text", "json_text"),
    [
        (AllTablesSpec(), "all_tables", '"all_tables_wal_write"'),
        (TableSpec("x"), "table:x", '{"single_table_wal_write":{"table_name":"x"}}'),
        (TableSpec("ä"), "table:ä", '{"single_table_wal_write":{"table_name":"ä"}}'),
        (
            CronSpec("0 * * * * *"),
            "cron:0 * * * * *",
            '{"schedule":{"schedule":"0 * * * * *"}}',
        ),
        (
            EverySpec(60 * S),
            "every:1m",
            '{"every":{"duration":{"secs":60,"nanos":0}}}',
        ),
        (RequestSpec("p/q"), "request:p/q", '{"request_path":{"path":"p/q"}}'),
    ],
)
def test_canonical_text_and_json(spec: TriggerSpec, text: str, json_text: str) -> None:
    assert spec_text(spec) == text
    assert spec_json(spec) == json_text


@pytest.mark.parametrize(
    "text", ['"other"', "[]", '{"schedule":{}}', '{"every":{"duration":{"secs":"1"}}}', "{", "x"]
)
def test_other_json_is_no_specification(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a trigger specification|Expecting"):
        spec_from_json(text)


_WORDS = st.text(min_size=1).map(str.strip).filter(bool)
_SPECS = st.one_of(
    st.just(AllTablesSpec()),
    _WORDS.map(TableSpec),
    st.sampled_from(["0 * * * * *", "@daily", "1 2 3 4 5 ? 2040"]).map(CronSpec),
    st.integers(1_000_000, 31_557_600 * S).map(EverySpec),
    _WORDS.map(RequestSpec),
)


@given(_SPECS)
def test_specifications_read_back_from_text_and_json(spec: TriggerSpec) -> None:
    assert parse_spec(spec_text(spec)) == spec
    assert spec_from_json(spec_json(spec)) == spec


@given(st.text(max_size=20))
def test_any_text_is_a_specification_or_refused(text: str) -> None:
    outcome: Kind | str
    try:
        outcome = kind(parse_spec(text))
    except InvalidTriggerSpec as error:
        outcome = str(error)

    assert isinstance(outcome, Kind) or outcome.startswith("failed to parse trigger from ")


def test_kinds() -> None:
    assert kind(AllTablesSpec()) is kind(TableSpec("x")) is Kind.WAL
    assert kind(CronSpec("@daily")) is kind(EverySpec(S)) is Kind.SCHEDULE
    assert kind(RequestSpec("x")) is Kind.REQUEST


def test_error_behaviour_is_read_in_any_case() -> None:
    assert parse_error_behavior("Retry") is ErrorBehavior.RETRY
    with pytest.raises(InvalidParameter, match="use log, retry or disable"):
        parse_error_behavior("panic")


def test_origins_are_kept_once_and_as_browsers_send_them() -> None:
    origins = ["https://Dash.example", "http://localhost:8080", "https://dash.example ", "*"]

    assert parse_origins(origins) == ("https://dash.example", "http://localhost:8080", "*")
    assert parse_origins([]) == ()


@pytest.mark.parametrize(
    "text", ["", "dash.example", "https://", "https://a/", "https://a, https://b", "https://*/x"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="is no origin; write https://host"):
        parse_origins([text])
