"""Probing, cutting, decoding and transforming clips."""
