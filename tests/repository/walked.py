"""Which test walks each way out that `tests/flows/test_ways_out.py` doesn't, and which can't be walked, and why."""

# By how its name in `tests.repository.ways` begins: the test from the state over the message to a good end.
WALKED = {
    "Entra ": "tests/arm/test_advice.py::test_a_sign_in_goes_on_once_entra_gives_a_token",
    "pod ": "tests/flows/test_never_ready.py::test_provision_says_why_and_what_to_do",
    "arm/reconcile: A policy with": "tests/cli/test_trouble_inputs.py::test_policy_modify",
    "tasks/verify: Let somebody who may assign roles": "tests/flows/test_roles_given.py"
    "::test_a_contributor_gets_one_list_and_goes_on_when_somebody_has_carried_it_out",
    "preflight/standing: Make the environment anew": "tests/cli/test_trouble_inputs.py::test_node_group_gone",
    "resources/power_state: Start it": "tests/cli/test_trouble_inputs.py::test_stopped_cluster",
    "tasks/cnpg_operator: Set operator.installer to helm": "tests/tasks/test_operator_chart.py"
    "::test_once_helm_has_uninstalled_it_the_manifest_goes_on_with_the_same_definitions",
    "tear_down/forbidden: Delete them once": "tests/flows/test_foreign_things.py"
    "::test_what_is_kept_with_the_backups_stops_their_deletion_only",
    "tear_down/forbidden: Ask whoever set it to clear": "tests/flows/test_foreign_things.py"
    "::test_what_is_kept_with_the_backups_stops_their_deletion_only",
    "tear_down/forbidden: An unlocked one": "tests/flows/test_foreign_things.py"
    "::test_what_is_kept_with_the_backups_stops_their_deletion_only",
    "flows/rebuild: Run it again, and type": "tests/flows/test_rebuild.py::test_an_approved_rebuild_is_carried_out",
    "flows/rebuild: Look at the new plan": "tests/flows/test_rebuild.py::test_an_approved_rebuild_is_carried_out",
    "runs/write_lock: Run again when it has ended": "tests/flows/test_one_writer.py"
    "::test_of_two_runs_started_together_one_writes_and_the_other_waits",
    "tasks/verify: Everything was sent": "tests/flows/test_never_ready.py::test_verify_says_why_an_agent_isnt_ready",
    "runs/plan_moves": "tests/cli/test_plan_then_do.py::test_a_kept_plan_is_carried_out",
}

# Nobody's sandbox can do it.
NOT_HERE = {
    "arm/credentials: Use a service principal": "every token that Entra ID documents says who it is for",
    "arm/error_codes: Choose a cluster.kubernetes_version among": "the preflight asks what is offered before AKS is",
    "flows/_doctor: Have this machine's clock": "a test may not set its machine's clock",
    "flows/rebuild: Run it again, or give approval_hours": "a test can't wait the hour that an approval has at least",
    "preflight/region: Ask for more (https": "a person is asked for addresses, and the sandbox has no quota of them",
    "resources/links": "AKS takes a new identity at the next write; when it doesn't, nobody has recorded what helps",
    "resources/resource_group": "the preflight refuses that group first: preflight/generations: Choose region",
    "flows/_doctor: Run again": "it is said of what passes by itself",
    "runs/step": "a full or a read-only disk is its machine's",
    "tear_down/live_data: Save what is in it": "the sandbox has no controller of VolumeSnapshots",
    "arm/reconcile: Set the spec to what Azure reports": "Azure's support is asked; the sandbox keeps what it takes",
}

# Their walks are missing. Nothing is added here: a new way out comes with its walk.
NOT_YET = (
    "preflight/kubernetes_versions: Choose one of these_",
    "preflight/kubernetes_versions: Choose versions that go together",
    "preflight/region: Choose another region",
    "preflight/region: Choose one of these, or another region",
    "preflight/region: Set it to false",
    "preflight/region: _az account list-locations",
    "tear_down/live_data: Take a backup",
    "tear_down/node_group: Or look at it",
    "database/limits",
    "flows/_listing",
    "flows/deploy_database",
    "flows/rebuild: Do what each line says",
    "flows/rebuild: Run provision to change it",
    "kubernetes/helm: Change them",
    "kubernetes/helm: Correct operator.chart",
    "kubernetes/helm: Remove what is named",
    "kubernetes/operator_chart: Give the",
    "kubernetes/operator_chart: Remove or rename",
    "preflight/components_check",
    "preflight/database_check",
    "preflight/kubernetes_versions: Choose another operator.version",
    "preflight/operator_check: Give it like that",
    "preflight/operator_check: Put it in quotes",
    "preflight/operator_check: Run again",
    "preflight/subnet",
    "resources/backup_blobs",
    "resources/blob_container",
    "resources/managed_cluster",
    "runs/write_lock: Look at that run",
    "runs/write_lock: Run again to go on",
    "runs/write_lock: Run again.",
    "tasks/cnpg_operator: Remove that one",
    "tasks/cnpg_operator: Set operator.installer to manifest",
    "tasks/database/",
    "tasks/managed_identity",
    "tasks/verify: Run again",
    "tear_down/second_look",
)
