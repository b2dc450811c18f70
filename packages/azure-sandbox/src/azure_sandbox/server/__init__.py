"""One sandbox as a whole: its parts put together, and how requests reach them."""
