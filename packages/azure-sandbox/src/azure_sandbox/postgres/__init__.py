"""Real PostgreSQL on this machine: where its programs come from, and how its processes are run. Linux only."""
