"""The web servers that the receiver is compared with. Each is an ASGI application of its own."""
