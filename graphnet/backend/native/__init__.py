"""The native backend: loops generated for the exact shapes, compiled by LLVM."""
