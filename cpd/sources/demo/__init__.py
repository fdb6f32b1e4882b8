"""The demo corpus: rendered videos with human-like titles, in the official formats of the real sets.

Nothing here is needed by the paper's pipeline. It exists so that every rule can run end to end on a laptop,
with labels whose truth is known and whose two factors (motion, appearance) can be told apart.
"""
