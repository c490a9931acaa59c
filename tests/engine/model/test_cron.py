import pytest

from engine.model.cron import CronSyntaxError, parse_cron, with_seconds


def _weekdays(text: str) -> tuple[int, ...]:
    return parse_cron(f"0 0 0 * * {text}").weekdays


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1,)),
        ("0", (1,)),
        ("7", (7,)),
        ("sun", (1,)),
        ("SATURDAY", (7,)),
        ("Tues,thurs", (3, 5)),
        ("mon-fri", (2, 3, 4, 5, 6)),
        ("fri-mon", (1, 2, 6, 7)),
        ("sat-sun", (1, 7)),
        ("2/2", (2, 4, 6)),
        ("*/3", (1, 4, 7)),
        ("?", (1, 2, 3, 4, 5, 6, 7)),
        ("1-7/2", (1, 3, 5, 7)),
    ],
)
def test_weekdays_count_from_sunday_as_one(text: str, expected: tuple[int, ...]) -> None:
    assert _weekdays(text) == expected


@pytest.mark.parametrize("text", ["0-6", "0,6", "5-0", "0/2", "mon,0"])
def test_zero_beside_other_weekdays_is_refused_as_ambiguous(text: str) -> None:
    with pytest.raises(CronSyntaxError, match="counts from 0"):
        _weekdays(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", (5,)),
        ("10/20", (10, 30, 50)),
        ("*/15", (0, 15, 30, 45)),
        ("1-10/4", (1, 5, 9)),
        ("58-2", (0, 1, 2, 58, 59)),
        ("55-5/5", (0, 5, 55)),
        ("7,3,3", (3, 7)),
        ("*/100", (0,)),
    ],
)
def test_lists_ranges_and_steps_become_sorted_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert parse_cron(f"{text} 0 0 * * *").seconds == expected


def test_months_may_be_named_and_wrap_around_the_year() -> None:
    assert parse_cron("0 0 0 1 nov-FEBRUARY *").months == (1, 2, 11, 12)


def test_years_are_a_seventh_field() -> None:
    assert parse_cron("0 0 0 1 1 * 2030-2032").years == (2030, 2031, 2032)
    assert len(parse_cron("0 0 0 1 1 *").years) == 130


@pytest.mark.parametrize(
    ("shorthand", "meaning"),
    [
        ("@yearly", "0 0 0 1 1 *"),
        ("@monthly", "0 0 0 1 * *"),
        ("@weekly", "0 0 0 * * sun"),
        ("@Daily", "0 0 0 * * *"),
        ("@hourly", "0 0 * * * *"),
    ],
)
def test_shorthands_stand_for_whole_expressions(shorthand: str, meaning: str) -> None:
    assert parse_cron(shorthand) == parse_cron(meaning)


def test_five_fields_get_second_zero() -> None:
    assert with_seconds(" */5  * * * *") == "0 */5 * * * *"
    assert with_seconds("1 2 3 4 5 6") == "1 2 3 4 5 6"
    assert with_seconds("@hourly") == "@hourly"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("* * * * *", "5 fields found, but 6 or 7 needed"),
        ("", "0 fields found"),
        ("* * * * * * * *", "8 fields found"),
        ("60 * * * * *", "60 is no second; the range is 0 to 59"),
        ("0 0 24 * * *", "24 is no hour"),
        ("0 0 0 0 * *", "0 is no day of month"),
        ("0 0 0 1 13 *", "13 is no month"),
        ("0 0 0 * * 8", "8 is no day of week"),
        ("0 0 0 1 1 * 2100", "2100 is no year"),
        ("0 0 0 1 1 * 2032-2030", "runs backwards"),
        ("? 0 0 * * *", "only as day of month or day of week"),
        ("0 0 0 ?/2 * *", "stands alone"),
        ("*/0 * * * * *", "a step of 0"),
        ("H * * * * *", "extensions H, R, L, W and # are not supported"),
        ("R/5 * * * * *", "extensions"),
        ("h(0-5) * * * * *", "extensions"),
        ("0 0 0 L * *", "extensions"),
        ("0 0 0 15W * *", "extensions"),
        ("0 0 0 * * 6L", "extensions"),
        ("0 0 0 * * 2#1", "extensions"),
        ("1,,2 * * * * *", "cannot read ''"),
        ("-1 * * * * *", "cannot read '-1'"),
        ("1-2-3 * * * * *", "cannot read"),
        ("mon * * * * *", "cannot read 'mon' as second"),
        ("0 0 0 * * moon", "cannot read 'moon' as day of week"),
        ("٣ * * * * *", "cannot read"),
        ("@reboot", "unknown shorthand @reboot; known are @yearly"),
    ],
)
def test_what_breaks_the_grammar_is_named(expression: str, message: str) -> None:
    with pytest.raises(CronSyntaxError, match=message):
        parse_cron(expression)
