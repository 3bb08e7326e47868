"""Transformer language models."""
