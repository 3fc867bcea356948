"""What Relink costs, measured side by side with Baileys alone. `python -m benchmarks --help`; README.md has figures."""
