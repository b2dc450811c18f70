"""What the guide says to do: one file a chapter, one function a step, each a Prefect task with retries."""
