"""Why a pod may never get ready: the reasons that Kubernetes writes into its status and events."""

REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
    "OOMKilled",
    "Unhealthy",
    "Unschedulable",
    "FailedCreate",
    "FailedAttachVolume",
    "FailedMount",
    "FailedCreatePodSandBox",
    "Evicted",
)
