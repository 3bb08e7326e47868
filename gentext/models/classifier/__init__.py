"""Discriminative models of labelled text: a label given a text."""
