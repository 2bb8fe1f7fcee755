"""Mails: what handlers send, how it travels, and how people get no more of it."""
