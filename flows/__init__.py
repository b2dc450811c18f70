"""In which order: one file a flow. No request to Azure of their own, no decision on Azure's state."""

import gc

# What is imported stays: to search it for garbage again and again would be a sixth of a start's CPU seconds.
_is_on = gc.isenabled()
gc.disable()
import prefect  # noqa: E402, F401

gc.freeze()
if _is_on:
    gc.enable()
