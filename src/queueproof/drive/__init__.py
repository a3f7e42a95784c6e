"""Making cases happen: a target, a client and the engine that runs every case in one event loop."""
