"""What a run is: its steps, its lock, its session, its summary."""
