"""Attacks on a receiver while good traffic flows: what becomes of the good, and what the bad leave."""
