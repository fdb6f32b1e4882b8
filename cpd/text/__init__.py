"""Titles: cleaning and dependency trees."""
