"""Where and when the flows run: one entry a region in `regions.yaml`, and what makes `prefect.yaml` of it."""
