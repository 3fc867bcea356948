"""Break things at random and see that every promise holds: `python -m tests.chaos --seconds 600 --seed 7`."""
