"""Colours that stay apart for every kind of colour vision (Okabe and Ito, Color Universal Design, 2008)."""

INK, GREY, LIGHT = "#1b1f24", "#8a939c", "#d5dae0"
BLUE, ORANGE, GREEN, SKY, VERMILLION, PURPLE = "#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7"
PALE = "#b9d8ec"  # blue, thinned
SERIES = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
