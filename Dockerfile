# Two images of one build: `queueproof` (--target queueproof), the harness; and, last and so the default of
# docker-compose.yml, the reference server of the ScaiQueue API, from which Locust is started there as well.
FROM python:3.13-slim AS built
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/run.txt requirements/stack.txt ./requirements/
RUN pip install --no-compile --require-hashes -r requirements/run.txt -r requirements/stack.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY conformance ./conformance
COPY load ./load
COPY fixtures ./fixtures
RUN pip install --no-compile --no-deps . && pip uninstall --yes pip

FROM python:3.13-slim AS base
RUN useradd --create-home --uid 10001 queueproof && install -d -o queueproof /queueproof /reports
COPY --from=built /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER queueproof
WORKDIR /queueproof

# docker run --rm --network host -v "$PWD/reports:/queueproof/reports" queueproof conformance --url http://127.0.0.1:8000
FROM base AS queueproof
ENTRYPOINT ["queueproof"]

FROM base AS server
ENV SCAIQUEUE_HOST=0.0.0.0 SCAIQUEUE_PORT=8000
EXPOSE 8000
ENTRYPOINT ["python", "-m", "scaiqueue_reference"]
