# The images of worker, producer and operator, each a target: docker build --target worker .
# Any image with python3, its venv module and pip; the same one runs the result.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim

FROM ${BASE_IMAGE} AS build
# uv checks every package against the lock's hashes, which pip cannot do for a constraint.
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
# Trust what the machine trusts, as pip does; and take the image's own Python.
ENV UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=true
# The same files from two builds: bytecode that is checked against its source's hash and not its time, as a release's
# files all have one time, and no notes of uv about this build.
ENV PYC_INVALIDATION_MODE=CHECKED_HASH PYTHONHASHSEED=0 UV_NO_INSTALLER_METADATA=true
# Compiled, as the root is read-only when it runs.
ENV VIRTUAL_ENV=/opt/workqueue UV_COMPILE_BYTECODE=true UV_CONSTRAINT=requirements.lock UV_BUILD_CONSTRAINT=requirements.lock
RUN /build/bin/uv venv --python "$(command -v python3)" /opt/workqueue
WORKDIR /src
COPY pyproject.toml requirements.lock ./

# Below, packages come before the code, so that a change of code installs none of them again. The wheel holds the parts
# that were copied, so no other part's code is in an image.
FROM build AS producer-build
RUN /build/bin/uv pip install --requirement pyproject.toml --extra producer
COPY README.md LICENSE NOTICE ./
COPY broker/ broker/
COPY producer/ producer/
RUN /build/bin/uv pip install --no-deps .

FROM build AS operator-build
RUN /build/bin/uv pip install --requirement pyproject.toml --extra operator
# The Kubernetes client is generated: 1,800 modules, 119 MB, loaded by name when they are used. The operator speaks to
# the API server in dictionaries and uses none of them; that it starts (below) proves it.
RUN cd /opt/workqueue/lib/python3*/site-packages/kubernetes && \
    find client/api client/models aio/client/api aio/client/models -type f ! -name '__init__.*' -delete
COPY README.md LICENSE NOTICE ./
COPY broker/ broker/
COPY operator/ operator/
RUN /build/bin/uv pip install --no-deps . && /opt/workqueue/bin/python3 -m workqueue_operator --help

# A handler may publish the tasks that come next, so the producer's code is in the worker's image.
FROM build AS worker-build
RUN /build/bin/uv pip install --requirement pyproject.toml --extra worker --extra producer
COPY README.md LICENSE NOTICE ./
COPY broker/ broker/
COPY producer/ producer/
COPY worker/ worker/
RUN /build/bin/uv pip install --no-deps .

FROM ${BASE_IMAGE} AS runtime
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
ENV PATH=/opt/workqueue/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
# A number, as Kubernetes cannot tell whether a name is root's.
USER 65532:65532
STOPSIGNAL SIGTERM

FROM runtime AS producer
LABEL org.opencontainers.image.title="workqueue-producer" \
      org.opencontainers.image.description="Sends tasks to a RabbitMQ queue and makes sure that they are there"
COPY --from=producer-build /opt/workqueue /opt/workqueue
ENTRYPOINT ["/opt/workqueue/bin/python3", "-m", "workqueue_producer"]

FROM runtime AS operator
LABEL org.opencontainers.image.title="workqueue-operator" \
      org.opencontainers.image.description="Scales worker Deployments from the messages that wait in RabbitMQ queues"
COPY --from=operator-build /opt/workqueue /opt/workqueue
# kopf asks for the user's name at its start, and a number has none in /etc/passwd.
ENV USER=workqueue
EXPOSE 8080
ENTRYPOINT ["/opt/workqueue/bin/python3", "-m", "workqueue_operator"]

# The last one, as `docker build .` without a target makes it. A team's handler: FROM this image,
# COPY my_tasks.py /app/, WORKER_HANDLER=my_tasks:handle; packages: examples/02-libraries-and-next-tasks.
FROM runtime AS worker
LABEL org.opencontainers.image.title="workqueue-worker" \
      org.opencontainers.image.description="Takes tasks from a RabbitMQ queue and acks them when they are done"
COPY --from=worker-build /opt/workqueue /opt/workqueue
# The base's pip, when a team's Dockerfile calls it, installs for the worker's Python and not for the base's.
ENV PIP_PYTHON=/opt/workqueue/bin/python3
EXPOSE 8000
ENTRYPOINT ["/opt/workqueue/bin/python3", "-m", "workqueue_worker"]
