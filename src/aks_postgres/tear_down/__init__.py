"""What is looked at before anything is deleted, and what is deleted."""
