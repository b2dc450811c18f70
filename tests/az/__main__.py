"""`python -m tests.az`: run the guide with the real az, each way on a sandbox of its own, and say how long it took."""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from azure_sandbox.client import SandboxProcess, start

from .azure_cli import FOLDER, WAYS, NoAzureCli, installed
from .run import Choices, GuideFailed, GuideRun, prepare

CHOICES = Choices(
    suffix="guide001", region="canadacentral", kubernetes_version="1.35", vm_size="Standard_D4s_v5"
)


def main() -> int:
    """Exit code 0 when every command of the guide did."""
    parser = argparse.ArgumentParser(prog="python -m tests.az", description=__doc__)
    parser.add_argument("--way", choices=[*WAYS, "both"], default="both")
    parser.add_argument("--speed", type=float, default=1000.0, help="sandbox seconds per real second")
    options = parser.parse_args()
    try:
        az = installed()
    except NoAzureCli as error:
        print(error, file=sys.stderr)
        return 2
    for way in WAYS if options.way == "both" else [options.way]:
        folder = FOLDER / way.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        process = start(folder / "sandbox", "--speed", f"{options.speed:g}")
        try:
            sandbox = SandboxProcess(folder / "sandbox")
            prepare(sandbox)
            began = time.monotonic()
            run = GuideRun(way, sandbox.description, az, folder / "home", CHOICES, print)
            run.log_in()
            run.create_infrastructure()
            guide_s = time.monotonic() - began
            run.continue_with_later_articles()
            run.look_and_take_apart()
            run.clean_up()
        except GuideFailed as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            process.terminate()
            process.wait(timeout=60)
        all_s = time.monotonic() - began
        print(f"{way}: {len(run.calls)} calls; the guide in {guide_s:.0f} s, everything in {all_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
