# Any image with python3 (3.11 or newer), its venv module and pip will do.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python3 -m venv --without-pip /app && python3 -m venv --without-pip /build/tools
COPY requirements.lock requirements-runtime.lock ./
RUN python3 -m pip --python /app/bin/python install --require-hashes -r requirements-runtime.lock
# What builds the wheel comes from the lock, too: hatchling and what it needs.
RUN awk '/^[^ #]/ {keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} keep' requirements.lock > tools.lock \
    && python3 -m pip --python tools/bin/python install --require-hashes -r tools.lock
COPY pyproject.toml README.md ./
COPY fixtures fixtures
COPY handlers handlers
COPY receiver receiver
RUN python3 -m pip --python tools/bin/python wheel --no-deps --no-build-isolation -w wheels . \
    && python3 -m pip --python /app/bin/python install --no-deps --no-index wheels/*.whl

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /srv --shell /usr/sbin/nologin receiver \
    && install -d -o receiver -g receiver /data /srv
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 RECEIVER_DATA_DIR=/data
USER 10001:10001
# Mount your receiver.toml and handler modules here: the working directory is searched for both.
WORKDIR /srv
EXPOSE 8000
# For `serve`, on its default port; docker-compose.yml turns it off for the others.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["receiver"]
CMD ["serve", "--host", "0.0.0.0"]
