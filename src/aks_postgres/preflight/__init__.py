"""What can be known before the first write: facts, and what is found wrong with them."""
