"""The operations, a family a file, each operation whole in one class."""
