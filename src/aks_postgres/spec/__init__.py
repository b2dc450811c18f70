"""What is wanted: the spec of an environment, its names and tags, and what each step reports back.

Pure data: nothing here reads or writes anything outside the process.
"""
