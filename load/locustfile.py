"""The load that Locust runs: `locust -f load/locustfile.py --host http://127.0.0.1:8000 --qp-scenario steady`."""

from queueproof.locust_plugin import QueueUser


class Client(QueueUser):
    """Publishes when the model is closed (--qp-closed); else the scenario's schedule does."""
