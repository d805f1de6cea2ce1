"""The book's machine: tangle, weave, draw and bind."""
