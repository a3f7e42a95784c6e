# The reference server of the ScaiQueue API, for docker-compose.yml.
FROM python:3.13-slim
RUN useradd --create-home --uid 10001 scaiqueue && python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements/run.txt requirements/stack.txt ./requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt -r requirements/stack.txt
COPY src/scaiqueue_reference ./scaiqueue_reference
ENV PYTHONUNBUFFERED=1 SCAIQUEUE_HOST=0.0.0.0 SCAIQUEUE_PORT=8000
USER scaiqueue
EXPOSE 8000
ENTRYPOINT ["python", "-m", "scaiqueue_reference"]
