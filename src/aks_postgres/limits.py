"""Where things are given up that have no end: real seconds, and bytes. A test sets its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Limits:
    """Seconds are real ones, whatever the time scale.

    Attributes:
        token_s: for the first access token. It comes within 2; az alone may take 10 to start.
        credential_bytes: of a credential's file. Certificates with their chain and key have some kilobytes.
        secrets: how many values are removed from all text, of a worker's life; access tokens come anew each hour.
        arm_read_s: from one piece of an answer of ARM's to the next; the whole may take twice that. ARM answers
            within 60 s or not at all.
        kubernetes_request_s: for a request to an API server.
        kubernetes_connect_s: for a connection to one. Packets from outside the authorized ranges are dropped, so this
            is how long "no" takes.
        download_s: for a whole download, with its redirects.
        download_bytes: of a download, or of a local file in its place.
        chart_bytes: of a chart, unpacked. MaxDecompressedChartSize: https://github.com/helm/helm
            (pkg/chart/v2/loader/archive)
        helm_read_s: for Helm to read a release.
        helm_write_s: for Helm to write one, which sends some 40 requests and waits for nothing: its own limit, and
            30 s to mark the release as failed.
        other_run_s: for another run that writes to the environment; longer than any run lasts.
    """

    token_s: float = 9.5
    credential_bytes: int = 64 * 1024
    secrets: int = 2000
    arm_read_s: float = 60
    kubernetes_request_s: float = 30
    kubernetes_connect_s: float = 5
    download_s: float = 60
    download_bytes: int = 32 * 1024 * 1024
    chart_bytes: int = 100 * 1024 * 1024
    helm_read_s: float = 60
    helm_write_s: float = 120 + 30
    other_run_s: float = 4 * 3600


limits = Limits()
