# One image for every role: `gateway` (the default), `worker`, `migrate`, `check`, `token`.

# A digest pins the image, as in --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build

WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/build.txt requirements/runtime.txt ./requirements/
RUN pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/seance \
    && /opt/seance/bin/pip install --require-hashes --only-binary=:all: -r requirements/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY broker ./broker
COPY clients/browser/src ./clients/browser/src
COPY clients/python/seance_client ./clients/python/seance_client
COPY cluster ./cluster
COPY gateway ./gateway
COPY metrics ./metrics
COPY migrations ./migrations
COPY persistence ./persistence
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/seance/bin/pip install --no-deps /wheels/*.whl


FROM ${PYTHON_IMAGE}

RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin seance
COPY --from=build /opt/seance /opt/seance
ENV PATH=/opt/seance/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000

USER 10001:10001
WORKDIR /tmp
EXPOSE 8000

# /live, not /ready: an outage of Redis must not make an orchestrator kill every gateway at once. The balancer asks /ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); c.request('GET', '/live'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["seance"]
CMD ["gateway"]
