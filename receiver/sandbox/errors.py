"""Sendbird's own error answers: HTTP 400 with `{"error": true, "message", "code"}`.

Codes from the table "Error Code" of the Platform API v3. `ApiError` is not part of the receiver's
error tree: it never leaves the sandbox, except as an answer.
"""

from __future__ import annotations


class ApiError(Exception):
    """A call that the sandbox refuses, as Sendbird would. `code` is the six-digit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def to_json(self) -> dict[str, object]:
        """Return the answer's body."""
        return {"error": True, "message": self.message, "code": self.code}


def wrong_type(name: str, expected: str) -> ApiError:
    """400100 to 400104. `expected` is string, number, list, json or boolean."""
    code = {"string": 400100, "number": 400101, "list": 400102, "json": 400103, "boolean": 400104}[expected]
    return ApiError(code, f'"{name}" must be a {expected}.')


def missing(name: str) -> ApiError:
    """400105: a required parameter did not arrive."""
    return ApiError(400105, f'"{name}" is required.')


def negative(name: str) -> ApiError:
    """400106: a number that must be positive is not."""
    return ApiError(400106, f'"{name}" must be a positive number.')


def not_authorized(why: str) -> ApiError:
    """400108: the thing exists, but this user can't do that with it."""
    return ApiError(400108, f"Not authorized. {why}")


def too_long(name: str, limit: str) -> ApiError:
    """400110: `limit` says how long the value can be."""
    return ApiError(400110, f'"{name}" must be {limit}.')


def not_valid(name: str, expected: str) -> ApiError:
    """400111: the type is right and the value is not."""
    return ApiError(400111, f'"{name}" is not valid: expected {expected}.')


def not_found(noun: str) -> ApiError:
    """400201: there is no such user, channel, message or bot."""
    return ApiError(400201, f'"{noun}" not found.')


def taken(name: str) -> ApiError:
    """400202: the value must be unique and isn't."""
    return ApiError(400202, f'"{name}" violates unique constraint.')


def bad_token() -> ApiError:
    """400401: no `Api-Token` header, or a wrong one."""
    return ApiError(400401, 'Invalid value: "Api-Token". Send the API token in this header.')


def bad_body(why: str) -> ApiError:
    """400403: the body can't be read."""
    return ApiError(400403, f"Invalid request body: {why}")


def bad_url() -> ApiError:
    """400404: the sandbox has no such endpoint."""
    return ApiError(400404, "The request url is invalid: the sandbox has no such endpoint or method.")


def failed() -> ApiError:
    """500901: the sandbox has a bug."""
    return ApiError(500901, "The sandbox failed; its log says more.")
