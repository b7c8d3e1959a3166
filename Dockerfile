# One image: trainings, worker, servers, model server. `make image` builds it; what is inside stands in requirements-image.lock.
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) --tag onerun:$(git rev-parse --short HEAD) .
# BASE needs Python 3.11 to 3.13 with venv, git and libgomp1, or apt to bring the last two. Any builder will do.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS environment
WORKDIR /opt/onerun
# pip before 23.3 takes `package[extra]` and `package` for two, of which the lock pins one
RUN python3 -m venv /opt/venv \
 && echo "pip==26.3 --hash=sha256:f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13" > pip.lock \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement pip.lock
COPY requirements-image.lock .
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements-image.lock \
 && /opt/venv/bin/pip uninstall --yes --quiet pip setuptools \
 && find /opt/venv -depth -type d -name tests -path '*/site-packages/*' \
      \( -path '*/sklearn/*' -o -path '*/pandas/*' -o -path '*/numpy/*' -o -path '*/scipy/*' \) -exec rm -rf {} +

FROM ${BASE}
RUN command -v git >/dev/null && ldconfig -p | grep -q libgomp.so.1 \
 || (apt-get update && apt-get install --yes --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*)
# a number, so that Kubernetes can see that it is not root
RUN groupadd --gid 1000 onerun && useradd --create-home --uid 1000 --gid 1000 onerun \
 && install --directory --owner 1000 --group 1000 /data
COPY --from=environment /opt/venv /opt/venv
WORKDIR /opt/onerun
COPY . .
# compiled here, because a process of the image may write nothing: importing takes a third of the time
RUN python3 -m compileall -q .
USER 1000:1000
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    ONERUN_HOME=/opt/onerun \
    ONERUN_WORK=/tmp/onerun \
    PYTHONPATH=/opt/onerun \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
# last: a new commit costs no layer
ARG COMMIT=unknown
LABEL org.opencontainers.image.title=onerun org.opencontainers.image.revision=${COMMIT}
ENV ONERUN_COMMIT=${COMMIT}
CMD ["python", "-m", "flows.doctor"]
