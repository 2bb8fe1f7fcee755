# The image holds Python, the receiver and their libraries, and nothing else: no shell, no package manager, no
# programs to install or compile with. See docs/security.md.
#
# Any image of Debian's kind with python3 (3.11 or newer), its venv module, pip and ca-certificates will do:
# name it with its digest (python:3.12-slim@sha256:...) to have the same one next time.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python3 -m venv --without-pip /app && python3 -m venv --without-pip /build/tools
COPY requirements-build.lock requirements-runtime.lock ./
RUN python3 -m pip --python /app/bin/python install --require-hashes --only-binary :all: -r requirements-runtime.lock \
    && python3 -m pip --python tools/bin/python install --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY fixtures fixtures
COPY handlers handlers
COPY receiver receiver
RUN python3 -m pip --python tools/bin/python wheel --no-deps --no-index --no-build-isolation -w wheels . \
    && python3 -m pip --python /app/bin/python install --no-deps --no-index wheels/*.whl
COPY scripts/image_root.py ./
RUN python3 image_root.py /app /image && mkdir -p own/data && chmod 700 own/data

FROM scratch
COPY --from=build /image /
# Its only folder that is written to, with /tmp: mount a volume here.
COPY --from=build --chown=10001:10001 /build/own /
ENV PATH=/app/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 RECEIVER_DATA_DIR=/data
USER 10001:10001
# Mount your receiver.toml and handler modules here: the working directory is searched for both.
WORKDIR /srv
EXPOSE 8000
# For `serve`, on its default port; docker-compose.yml turns it off for the others.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-I", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=2); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["receiver"]
CMD ["serve", "--host", "0.0.0.0"]
