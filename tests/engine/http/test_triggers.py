"""Triggers over HTTP."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from engine.catalog.commands import create_database
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.installer import InstallDisabled
from engine.errors import InvalidParameter, PluginFileError
from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits
from engine.model.trigger import CatchUp, ErrorBehavior, EverySpec, OnLag, TriggerSettings
from tests.http_services import CHANGE, EdgeParts, settled
from tests.serving import eventually

PATH = "/api/v3/configure/processing_engine_trigger"
BODY: Mapping[str, object] = {
    "db": "db",
    "plugin_filename": "p.py",
    "trigger_name": "t",
    "trigger_settings": {"run_async": True, "error_behavior": "Retry"},
    "trigger_specification": "every:10s",
    "trigger_arguments": {"a": "1"},
    "disabled": True,
}


@pytest.fixture(autouse=True)
def database(parts: EdgeParts) -> None:
    parts.catalog.update(create_database("db"))


def test_trigger_is_created_as_asked(client: httpx.Client, parts: EdgeParts) -> None:
    answer = client.post(PATH, json=BODY)

    assert (answer.status_code, answer.content) == (200, b"")
    trigger = parts.catalog.catalog.trigger_named("db", "t")
    assert trigger.plugin == "p.py"
    assert trigger.spec == EverySpec(10 * 10**9)
    assert trigger.settings == TriggerSettings(run_async=True, error_behavior=ErrorBehavior.RETRY)
    assert trigger.arguments == {"a": "1"}
    assert trigger.disabled


def test_settings_arguments_and_disabled_may_be_absent(
    client: httpx.Client, parts: EdgeParts
) -> None:
    left_out = ("trigger_settings", "trigger_arguments", "disabled")
    body = {name: value for name, value in BODY.items() if name not in left_out}

    assert client.post(PATH, json={**body, "surprise": 1}).status_code == 200

    trigger = parts.catalog.catalog.trigger_named("db", "t")
    assert trigger.settings == TriggerSettings()
    assert trigger.arguments is None
    assert not trigger.disabled


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({}, TriggerSettings()),
        ({"catch_up": None, "limits": None, "cors": None}, TriggerSettings()),
        ({"catch_up": "All"}, TriggerSettings(catch_up=CatchUp.ALL)),
        ({"on_lag": "Newest"}, TriggerSettings(on_lag=OnLag.NEWEST)),
        ({"on_lag": "merge"}, TriggerSettings(on_lag=OnLag.MERGE)),
        ({"on_lag": None}, TriggerSettings()),
        ({"limits": {}}, TriggerSettings()),
        ({"limits": {"time": "1m 30s"}}, TriggerSettings(limits=Limits(time_s=90.0))),
        ({"limits": {"time": 2}}, TriggerSettings(limits=Limits(time_s=2.0))),
        ({"grants": None}, TriggerSettings()),
        ({"grants": ["net=self"]}, TriggerSettings(grants=Grants(self_http=True))),
        ({"cors": []}, TriggerSettings(cors=())),
        ({"cors": ["https://Dash.example"]}, TriggerSettings(cors=("https://dash.example",))),
    ],
)
def test_settings_beyond_those_of_core(
    client: httpx.Client, parts: EdgeParts, given: dict, settings: TriggerSettings
) -> None:
    assert client.post(PATH, json={**BODY, "trigger_settings": given}).status_code == 200

    assert parts.catalog.catalog.trigger_named("db", "t").settings == settings


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"trigger_specification": "sometimes"}, 400, "failed to parse trigger from sometimes"),
        ({"trigger_specification": "every:10"}, 400, "failed to parse trigger from every:10"),
        ({"db": "none"}, 404, "Database not found none"),
        ({"db": "_internal"}, 500, "cannot modify internal db"),
        ({"trigger_settings": {"error_behavior": "hope"}}, 400, "unknown error behavior"),
        ({"trigger_settings": {"run_async": "yes"}}, 400, "serde json error: invalid type: string"),
        ({"trigger_settings": []}, 400, "serde json error: invalid type: sequence"),
        ({"trigger_settings": {"grants": ["net=x"]}}, 400, "grant 'net=x' lacks a port"),
        ({"trigger_settings": {"grants": ["root"]}}, 400, "unknown grant 'root'; write one of net"),
        ({"trigger_settings": {"grants": "net=self"}}, 400, "serde json error: invalid type: stri"),
        ({"trigger_settings": {"limits": "5s"}}, 400, "serde json error: invalid type: string"),
        ({"trigger_settings": {"limits": {"time": "0s"}}}, 400, "limit time=0s is not at least"),
        ({"trigger_settings": {"limits": {"memory": "1MB"}}}, 400, "limit memory=1MB is not at le"),
        ({"trigger_settings": {"limits": {"speed": 1}}}, 400, "unknown limit 'speed'"),
        ({"trigger_settings": {"catch_up": "some"}}, 400, "unknown catch-up 'some'"),
        ({"trigger_settings": {"on_lag": "x"}}, 400, "unknown on-lag 'x'; use keep, newest"),
        ({"trigger_settings": {"cors": "*"}}, 400, "serde json error: invalid type: string"),
        ({"trigger_settings": {"cors": [1]}}, 400, "serde json error: invalid type: integer `1`"),
        ({"trigger_settings": {"cors": ["dash"]}}, 400, "'dash' is no origin"),
        ({"requirements": "numpy"}, 400, "serde json error: invalid type: string"),
        ({"requirements": [1]}, 400, "serde json error: invalid type: integer `1`"),
        ({"trigger_arguments": {"a": 1}}, 400, "serde json error: trigger argument `a`"),
        ({"trigger_name": None}, 400, "serde json error: invalid type: null, expected a string"),
    ],
)
def test_wrong_triggers_are_refused(
    client: httpx.Client, parts: EdgeParts, change: dict, status: int, text: str
) -> None:
    answer = client.post(PATH, json={**BODY, **change})

    assert answer.status_code == status
    assert answer.text.startswith(text)
    assert parts.catalog.catalog.triggers == {}


def test_name_that_is_taken_is_409(client: httpx.Client) -> None:
    client.post(PATH, json=BODY)

    assert client.post(PATH, json=BODY).status_code == 409


def test_unreadable_plugin_is_500(client: httpx.Client, parts: EdgeParts) -> None:
    parts.definitions.refusal = PluginFileError("reading plugin file: Plugin not found: p.py")

    answer = client.post(PATH, json=BODY)

    assert (answer.status_code, answer.text) == (
        500,
        "Plugin error: reading plugin file: Plugin not found: p.py",
    )


def test_packages_are_prepared_before_the_trigger_is_there(
    client: httpx.Client, parts: EdgeParts
) -> None:
    prepared = object()
    parts.provisions.prepared = settled(prepared)

    answer = client.post(PATH, json={**BODY, "requirements": ["pandas>=2", "six"]})

    assert answer.status_code == 200
    assert parts.provisions.seen == [("prepare", "t", ("pandas>=2", "six"))]
    assert parts.definitions.prepared is prepared
    settings = parts.catalog.catalog.trigger_named("db", "t").settings
    assert settings.requirements == ("pandas>=2", "six")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InstallDisabled(), 403),
        (PackagesUnavailable("nosuch was not found"), 422),
        (InstallFailed("no index"), 500),
    ],
)
def test_without_its_packages_there_is_no_trigger(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int
) -> None:
    parts.provisions.prepared = settled(error)

    answer = client.post(PATH, json=BODY)

    assert (answer.status_code, answer.text) == (status, str(error))
    assert parts.catalog.catalog.triggers == {}


def test_nothing_is_built_for_what_the_server_gives_to_nobody(
    client: httpx.Client, parts: EdgeParts
) -> None:
    parts.definitions.inadmissible = InvalidParameter("no grants of this kind")

    answer = client.post(PATH, json=BODY)

    assert (answer.status_code, answer.text) == (400, "no grants of this kind")
    assert parts.provisions.seen == []


def test_others_are_changed_while_packages_are_prepared(
    client: httpx.Client, parts: EdgeParts
) -> None:
    client.post(PATH, json={**BODY, "trigger_name": "other"})
    parts.provisions.prepared = Future()
    with ThreadPoolExecutor(40) as threads:
        # More than there are threads for calls that block.
        waiting = [
            threads.submit(client.post, PATH, json={**BODY, "trigger_name": f"t{n}"})
            for n in range(40)
        ]
        eventually(lambda: len(parts.provisions.seen) == 41, within_s=5)

        other = client.post(f"{PATH}/enable", params={"db": "db", "trigger_name": "other"})

        assert other.status_code == 200
        parts.provisions.prepared.set_result(None)
        assert {answer.result().status_code for answer in waiting} == {200}


@pytest.mark.parametrize(
    ("change", "call"),
    [
        ({"requirements": ["six"]}, ("require", "db", "t", ("six",), False)),
        ({"requirements": []}, ("require", "db", "t", (), False)),
        ({"upgrade": True}, ("require", "db", "t", None, True)),
        ({"requirements": ["six"], "upgrade": True}, ("require", "db", "t", ("six",), True)),
    ],
)
def test_packages_of_a_trigger_are_changed(
    client: httpx.Client, parts: EdgeParts, change: dict, call: tuple
) -> None:
    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert (answer.status_code, answer.json()) == (200, {"environment": CHANGE.to_json()})
    assert parts.provisions.seen == [call]


def test_packages_and_limits_are_changed_together(client: httpx.Client, parts: EdgeParts) -> None:
    client.post(PATH, json=BODY)
    change = {"requirements": ["six"], "trigger_settings": {"limits": {"processes": 3}}}

    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert answer.json() == {"environment": CHANGE.to_json()}
    limits = parts.catalog.catalog.trigger_named("db", "t").settings.limits
    assert limits == Limits(processes=3)


def test_packages_that_cannot_be_had_change_no_limits(
    client: httpx.Client, parts: EdgeParts
) -> None:
    client.post(PATH, json=BODY)
    parts.provisions.answer = PackagesUnavailable("nosuch was not found")
    change = {"requirements": ["nosuch"], "trigger_settings": {"limits": {"processes": 3}}}

    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert (answer.status_code, answer.text) == (422, "nosuch was not found")
    assert parts.catalog.catalog.trigger_named("db", "t").settings.limits == Limits()


def test_limits_that_the_server_refuses_change_no_packages(
    client: httpx.Client, parts: EdgeParts
) -> None:
    client.post(PATH, json=BODY)
    parts.provisions.seen.clear()
    parts.definitions.inadmissible = InvalidParameter("more than this server gives")
    change = {"requirements": ["six"], "trigger_settings": {"limits": {"processes": 3}}}

    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert (answer.status_code, answer.text) == (400, "more than this server gives")
    assert parts.provisions.seen == []


def test_a_mistake_in_the_limits_changes_no_packages(
    client: httpx.Client, parts: EdgeParts
) -> None:
    change = {"requirements": ["six"], "trigger_settings": {"limits": {"speed": 3}}}

    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert answer.status_code == 400
    assert parts.provisions.seen == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"grants": ["env=A"]},
            TriggerSettings(grants=parse_grants(["env=A"]), limits=Limits(cpu=0.5)),
        ),
        ({"grants": []}, TriggerSettings(limits=Limits(cpu=0.5))),
        ({"limits": {}}, TriggerSettings(grants=Grants(self_http=True))),
        (
            {"limits": {"processes": 3}, "grants": None},
            TriggerSettings(grants=Grants(self_http=True), limits=Limits(processes=3)),
        ),
    ],
)
def test_given_grants_and_limits_replace_those_of_before(
    client: httpx.Client, parts: EdgeParts, settings: dict, expected: TriggerSettings
) -> None:
    before = {"grants": ["net=self"], "limits": {"cpu": "50%"}}
    client.post(PATH, json={**BODY, "trigger_settings": before})
    names = {"db": "db", "trigger_name": "t"}

    assert client.put(PATH, json={**names, "trigger_settings": settings}).status_code == 200

    assert parts.catalog.catalog.trigger_named("db", "t").settings == expected


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({}, 400, "trigger_settings must hold grants, limits, or both"),
        ({"trigger_settings": {}}, 400, "trigger_settings must hold grants, limits, or both"),
        ({"trigger_settings": {"limits": None}}, 400, "trigger_settings must hold grants, limits"),
        (
            {"trigger_settings": {"run_async": True}},
            400,
            "trigger_settings.run_async cannot be changed; grants and limits can",
        ),
        ({"trigger_settings": {"grants": ["x"]}}, 400, "unknown grant 'x'"),
        ({"trigger_settings": {"limits": {"x": 1}}}, 400, "unknown limit 'x'"),
        ({"trigger_settings": {"limits": []}}, 400, "invalid type: sequence, expected a map"),
        ({"trigger_name": "u", "trigger_settings": {"limits": {}}}, 404, "not found"),
    ],
)
def test_wrong_changes_are_refused(
    client: httpx.Client, change: dict, status: int, text: str
) -> None:
    client.post(PATH, json=BODY)

    answer = client.put(PATH, json={"db": "db", "trigger_name": "t", **change})

    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize("change", ["enable", "disable"])
def test_trigger_is_switched_by_query_or_body(
    client: httpx.Client, parts: EdgeParts, change: str
) -> None:
    client.post(PATH, json=BODY)
    names = {"db": "db", "trigger_name": "t"}

    assert client.post(f"{PATH}/{change}", params=names).status_code == 200
    assert client.post(f"{PATH}/{change}", json=names).status_code == 200
    assert parts.definitions.switched == [(change, "db", "t")] * 2


def test_switching_an_unknown_trigger_is_404(client: httpx.Client) -> None:
    answer = client.post(f"{PATH}/enable", params={"db": "db", "trigger_name": "none"})

    assert (answer.status_code, answer.text) == (404, "the requested resource was not found: none")


def test_enabled_trigger_is_deleted_only_by_force(client: httpx.Client, parts: EdgeParts) -> None:
    client.post(PATH, json={**BODY, "disabled": False})
    names = {"db": "db", "trigger_name": "t"}

    gentle = client.delete(PATH, params=names)
    forced = client.delete(PATH, params={**names, "force": "true"})

    assert gentle.status_code == 409
    assert "--force" in gentle.text
    assert forced.status_code == 200
    assert parts.catalog.catalog.triggers == {}
