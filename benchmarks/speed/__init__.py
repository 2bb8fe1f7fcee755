"""How fast it is, beside what a user would otherwise put together: `scripts/bench --help`."""
