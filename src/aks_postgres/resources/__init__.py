"""One file a type of Azure resource: what is sent, how it is reached and judged, and nothing of it elsewhere."""
