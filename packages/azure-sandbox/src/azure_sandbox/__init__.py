"""An Azure on this machine: ARM, Entra, blobs and Kubernetes over HTTPS, for clients that can't tell.

Started with `python -m azure_sandbox --state DIR`. Nothing here imports the product, and it imports none of this.
"""
