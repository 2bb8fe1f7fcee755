"""Odd requests by the million: what is made of bytes, what takes it, and what must never come of it."""
