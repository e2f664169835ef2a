"""Strategies: pure objects that turn what they see into quotes. `api` is the protocol that all of them keep."""
