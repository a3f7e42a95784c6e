# One image for docker-compose.yml: the reference server of the ScaiQueue API, and Locust with queueproof's load.
FROM python:3.13-slim
RUN useradd --create-home --uid 10001 scaiqueue && python -m venv /opt/venv && install -d -o scaiqueue /reports
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements/run.txt requirements/stack.txt ./requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt -r requirements/stack.txt
COPY src ./src
COPY load ./load
ENV PYTHONPATH=/app/src PYTHONUNBUFFERED=1 SCAIQUEUE_HOST=0.0.0.0 SCAIQUEUE_PORT=8000
USER scaiqueue
EXPOSE 8000
ENTRYPOINT ["python", "-m", "scaiqueue_reference"]
