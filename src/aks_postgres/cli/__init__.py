"""The flows from a terminal, and the sandbox's switch."""
