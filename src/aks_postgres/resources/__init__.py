"""What several chapters of the guide write the same way, and how Azure shows it."""
