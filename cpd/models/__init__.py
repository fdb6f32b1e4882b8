"""Backbones, text towers and heads."""
