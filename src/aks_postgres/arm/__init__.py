"""How Azure is reached, and when to wait, repeat or give up. Knows nothing of Prefect."""
