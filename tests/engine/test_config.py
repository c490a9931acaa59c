from collections.abc import Mapping

import pytest

from engine.config import Config, HttpConfig, SandboxConfig, WalConfig
from engine.errors import InvalidConfig
from engine.model.grants import Grants
from engine.model.limits import Limits

REQUIRED = {"node_id": "n", "data_dir": "/d", "plugin_dir": "/p"}


def test_required_settings_are_enough() -> None:
    config = Config.from_mapping(REQUIRED)

    assert config == Config("n", "/d", "/p")
    assert (config.http.bind_host, config.http.bind_port) == ("127.0.0.1", 8181)
    assert config.http.max_request_bytes == 10_485_760
    assert config.workers.max_event_bytes == 16_777_216


def test_sections_are_read_and_the_rest_keeps_its_default() -> None:
    config = Config.from_mapping(
        {
            **REQUIRED,
            "http": {"bind_port": 0, "without_auth": True},
            "wal": {"flush_interval_s": 2},
        }
    )

    assert config.http == HttpConfig(bind_port=0, without_auth=True)
    assert config.wal == WalConfig(flush_interval_s=2.0)
    assert isinstance(config.wal.flush_interval_s, float)
    workers = {"allowed_kinds": ["request"]}
    assert Config.from_mapping({**REQUIRED, "workers": workers}).workers.allowed_kinds == (
        "request",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wal": {"flush_interval_s": -1}}, "wal.flush_interval_s: -1 is not > 0"),
        ({"wal": {"segment_bytes": 0}}, "wal.segment_bytes: 0 is not > 0"),
        ({"wal": {"segment_bytes": 1.5}}, "wal.segment_bytes: 1.5 is not a whole number"),
        ({"wal": {"segment_bytes": True}}, "wal.segment_bytes: True is not a whole number"),
        ({"wal": {"flush_interval_s": "1s"}}, "wal.flush_interval_s: '1s' is not a number"),
        (
            {"wal": {"flush_interval_s": float("nan")}},
            "wal.flush_interval_s: nan is not a finite number",
        ),
        ({"workers": {"cancel_grace_s": -0.5}}, "workers.cancel_grace_s: -0.5 is not >= 0"),
        ({"http": {"bind_port": 65536}}, "http.bind_port: 65536 is not a port from 0 to 65535"),
        (
            {"workers": {"allowed_kinds": "wal"}},
            "workers.allowed_kinds: 'wal' is not a list of texts",
        ),
        (
            {"workers": {"allowed_kinds": ["wal", "cron"]}},
            "workers.allowed_kinds: 'cron' is not one of wal, schedule, request",
        ),
        ({"workers": {"max_causes": 0}}, "workers.max_causes: 0 is not > 0"),
        ({"http": {"bind_host": 1}}, "http.bind_host: 1 is not a text"),
        ({"http": {"without_auth": 1}}, "http.without_auth: 1 is not true or false"),
        ({"http": 3}, "http: 3 is not a section of settings"),
        ({"node_id": " "}, "node_id: must not be empty"),
        ({"sandbox": "off"}, "sandbox: 'off' is not a section of settings"),
        (
            {"sandbox": {"mode": "strict"}},
            "sandbox.mode: 'strict' is not one of required, best-effort, off",
        ),
        (
            {"sandbox": {"allowed_grants": ["disk"]}},
            (
                "sandbox.allowed_grants: 'disk' is not one of net, net=self, read, write, env, "
                "subprocess"
            ),
        ),
        (
            {"sandbox": {"default_grants": ["net=foo"]}},
            "sandbox.default_grants: grant 'net=foo' lacks a port; write net=foo:443 or net=foo:*",
        ),
        (
            {"sandbox": {"default_limits": ["processes=0"]}},
            (
                "sandbox.default_limits: limit processes=0 is not at least 3 and at most "
                "32768; the worker itself takes 3"
            ),
        ),
        (
            {"sandbox": {"max_limits": ["memory=1MiB"]}},
            "sandbox.max_limits: limit memory=1MiB is not at least 64MiB and at most 64TiB",
        ),
        (
            {"packages": {"manager": "conda"}},
            "packages.manager: 'conda' is not one of discover, uv, pip, disabled",
        ),
        ({"packages": {"hosts": ["a.example"]}}, "packages.hosts: 'a.example' is not HOST:PORT"),
        ({"packages": {"hosts": ["self"]}}, "packages.hosts: 'self' is not HOST:PORT"),
        ({"packages": {"hosts": ["a.b:*"]}}, "packages.hosts: 'a.b:*' is not HOST:PORT"),
        ({"packages": {"unused_days": -1}}, "packages.unused_days: -1 is not >= 0"),
        ({"plugin_repo": "ftp://x/"}, "plugin_repo: 'ftp://x/' is not a URL of http or https"),
        ({"plugin_repo": "http://"}, "plugin_repo: 'http://' is not a URL of http or https"),
        ({"plugin_repo": "http://x:y"}, "plugin_repo: 'http://x:y' is not a URL of http or https"),
        ({"plugin_repo": "http://x?y"}, "plugin_repo: 'http://x?y' is not a URL of http or https"),
    ],
)
def test_bad_settings_are_named_by_their_path(settings: Mapping[str, object], message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Config.from_mapping({**REQUIRED, **settings})

    assert str(caught.value) == message


def test_unknown_section_and_missing_setting_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="walls: unknown setting; known are node_id, "):
        Config.from_mapping({**REQUIRED, "walls": {}})
    with pytest.raises(InvalidConfig, match=r"wal\.flush: unknown setting; known are flush_inter"):
        Config.from_mapping({**REQUIRED, "wal": {"flush": 1}})
    with pytest.raises(InvalidConfig, match="data_dir: is required"):
        Config.from_mapping({"node_id": "n", "plugin_dir": "/p"})


def test_limits_that_nobody_says_have_defaults() -> None:
    assert SandboxConfig().limits_of(Limits()) == Limits(2**29, None, 64, 2**28, 300.0)
    assert SandboxConfig().run_timeout_s == 300.0


def test_given_defaults_replace_only_what_they_name() -> None:
    sandbox = SandboxConfig(default_limits=("memory=1GiB", "cpu=50%"))

    assert sandbox.limits == Limits(2**30, 0.5, 64, 2**28, 300.0)
    assert sandbox.limits_of(Limits(cpu=2.0)).cpu == 2.0


def test_ceilings_count_for_defaults_and_for_triggers_of_before() -> None:
    sandbox = SandboxConfig(max_limits=("memory=128MiB", "cpu=1", "time=10s"))

    assert sandbox.limits_of(Limits(memory_bytes=2**30)) == Limits(2**27, 1.0, 64, 2**28, 10.0)
    assert sandbox.run_timeout_s == 10.0


def test_default_grants_are_joined_to_those_of_a_trigger() -> None:
    sandbox = SandboxConfig(default_grants=("env=B", "net=self"))

    assert sandbox.grants_of(Grants(variables=("A",))) == Grants(
        variables=("A", "B"), self_http=True
    )
