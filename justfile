# Everything that has to hold before a change goes in; the same as .ci/run.
check:
    .ci/run

# The test suite; arguments go to pytest.
test *ARGS:
    ./bulkhead test -- {{ARGS}}

# Refresh the hashed lock: `just lock` keeps what still fits, `just lock --upgrade` moves on,
# but not to versions younger than a week.
lock *ARGS:
    .venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
        --fork-strategy fewest --generate-hashes --no-header --no-annotate \
        --exclude-newer "7 days" --quiet --output-file requirements.lock {{ARGS}}
    # What workers load under a Python that is not the server's.
    awk '/^[^ ]/ { keep = /^(pyzmq|msgpack)==/ } keep' requirements.lock \
        > engine/environments/runtime.lock

# The filters of system calls, after a change of their policy; needs libseccomp.so.2.
filters:
    .venv/bin/python -m engine.sandbox.seccomp.generate

# Figures of this machine; one script a topic.
bench:
    for script in tests/bench/*.py; do .venv/bin/python "$script" || exit 1; done
