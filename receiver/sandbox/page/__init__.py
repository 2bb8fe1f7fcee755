"""The chat page, and the JSON it lives on. The API token stays on the server."""
