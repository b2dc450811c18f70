"""What a person names and what is written for one: files of bounded size, private folders, YAML with limits."""
