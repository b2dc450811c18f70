"""In which order: one file a flow. No request to Azure of their own, no decision on Azure's state."""
