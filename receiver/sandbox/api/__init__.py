"""The Platform API, as far as the sandbox has it: one file per noun, routes to actions."""
