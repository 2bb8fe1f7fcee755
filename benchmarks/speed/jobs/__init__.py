"""The jobs that the workers are given, one module for each contestant."""
