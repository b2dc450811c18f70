"""Which test walks each way out that no table of walks does, and which can't be walked, and why."""

from azure_sandbox.core.pod_reasons import REASONS

NEVER_READY = "tests/flows/test_never_ready.py::test_provision_says_why_and_what_to_do"
# A volume is what a database waits for.
OF_VOLUMES = {"FailedAttachVolume", "FailedMount"}
OF_A_DATABASE = (
    "tests/tasks/test_database_troubles.py::test_a_trouble_is_named_with_its_way_out_and_the_next_run_goes_on"
)

# By how its name in `tests.repository.ways` begins: the test from the state over the message to a good end.
WALKED = {
    "Entra ": "tests/arm/test_advice.py::test_a_sign_in_goes_on_once_entra_gives_a_token",
    **{f"pod {reason}": NEVER_READY for reason in set(REASONS) - OF_VOLUMES},
    **{f"pod {reason}": OF_A_DATABASE for reason in OF_VOLUMES},
    "pod FailedCreate, refused": NEVER_READY,
    "pod FailedCreate, no service account": NEVER_READY,
    "arm/reconcile: A policy with": "tests/cli/test_trouble_inputs.py::test_policy_modify",
    "tasks/verify: Let somebody who may assign roles": "tests/flows/test_roles_given.py"
    "::test_a_contributor_gets_one_list_and_goes_on_when_somebody_has_carried_it_out",
    "kubernetes/power_state: Make the environment anew": "tests/cli/test_trouble_inputs.py::test_node_group_gone",
    "kubernetes/power_state: Start it": "tests/cli/test_trouble_inputs.py::test_stopped_cluster",
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
    "runs/write_lock: Look at that run": "tests/flows/test_one_writer.py"
    "::test_whoever_slept_writes_only_if_nobody_came_meanwhile",
    "runs/write_lock: Run again to go on": "tests/flows/test_one_writer.py"
    "::test_whoever_slept_before_it_had_the_lock_writes_nothing",
    "runs/write_lock: Run again.": "tests/flows/test_one_writer.py"
    "::test_a_plan_that_another_run_has_overtaken_is_not_carried_out",
    "flows/rebuild: Run provision to change it": "tests/flows/test_one_writer.py"
    "::test_a_rebuild_to_another_spec_isnt_called_done_by_anothers",
    "flows/deploy_database": "tests/flows/test_ways_out.py"
    "::test_a_database_that_cant_be_as_the_spec_wants_it_is_set_back_or_made_beside",
    "preflight/database_check": "tests/flows/test_ways_out.py"
    "::test_a_database_that_cant_be_as_the_spec_wants_it_is_set_back_or_made_beside",
    "kubernetes/helm: Set operator.chart_values": "tests/tasks/test_operator_chart.py"
    "::test_what_somebody_took_over_is_refused_in_kubernetes_words",
    "kubernetes/helm: Correct operator.chart": "tests/tasks/test_operator_chart.py"
    "::test_what_only_the_cluster_refuses_is_told_in_its_words_and_goes_once_it_is_mended",
    "kubernetes/helm: Remove what is named": "tests/tasks/test_operator_chart.py"
    "::test_what_isnt_helms_is_removed_and_the_chart_makes_it",
    "kubernetes/operator_chart: Uninstall it": "tests/tasks/test_operator_chart.py"
    "::test_another_chart_s_release_of_that_name_is_left_alone",
    "tasks/cnpg_operator: Remove that one": "tests/tasks/test_operator_chart.py"
    "::test_an_operator_of_another_way_is_removed_by_whoever_put_it_there",
    "tasks/cnpg_operator: Set operator.installer to manifest": "tests/tasks/test_operator_chart.py"
    "::test_a_manifest_s_operator_isnt_taken_over_by_helm",
    "resources/backup_blobs: A name is": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_an_archive_that_another_cluster_used_goes_by_another_name_or_generation",
    "resources/blob_container: Give another": "tests/tasks/test_backup_immutability.py"
    "::test_a_container_that_is_there_is_refused_with_the_ways_out",
    "resources/blob_container: Extend it": "tests/tasks/test_backup_immutability.py"
    "::test_a_locked_policy_of_fewer_days_is_a_persons_to_extend",
    "resources/managed_cluster": "tests/tasks/test_cluster_writes.py"
    "::test_a_cluster_that_somebody_deleted_isnt_made_by_the_way",
    "tasks/managed_identity": "tests/flows/test_backup_identity.py"
    "::test_another_choice_is_set_back_or_comes_with_the_next_generation",
    "tasks/verify: Run again: that": "tests/tasks/test_stopped.py"
    "::test_verify_notices_an_identity_that_is_another_by_now",
    "tasks/verify: Run again to make": "tests/tasks/test_verify.py::test_roles_that_somebody_took_away_are_named",
    "database/limits": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_names_that_others_have_and_what_is_for_good",
    "tasks/database/backups: Read why": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_archiving_and_backups_that_fail",
    "tasks/database/backups: Do what it says": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_archiving_and_backups_that_fail",
    "tasks/database/backups: Set database.name": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_an_archive_that_another_cluster_used_goes_by_another_name_or_generation",
    "tasks/database/backups: See that the ObjectStore": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_a_backup_whose_blobs_arent_there",
    "tasks/database/components: Set it and its checksum to a release of cert-manager": "tests/tasks/"
    "test_ways_out_of_a_database.py::test_a_component_s_file_that_is_none",
    "tasks/database/components: Set it and its checksum to a release of plugin": "tests/tasks/"
    "test_ways_out_of_a_database.py::test_a_component_s_file_that_is_none",
    "tasks/database/postgres_cluster: Turn it on": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_disks_that_the_cluster_doesnt_have",
    "tasks/database/postgres_cluster: See that the disk driver": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_disks_that_the_cluster_doesnt_have",
    "tasks/database/postgres_cluster: Set database.storage": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_disks_that_the_cluster_doesnt_have",
    "tasks/database/postgres_cluster: Set database.name": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_names_that_others_have_and_what_is_for_good",
    "tasks/database/postgres_cluster: Another cluster": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_an_archive_that_another_cluster_used_goes_by_another_name_or_generation",
    "tasks/database/postgres_cluster: The webhook": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_pods_roles_and_databases",
    "tasks/database/postgres_cluster: Correct": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_pods_roles_and_databases",
    "tasks/database/postgres_cluster: Do what it says": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_pods_roles_and_databases",
    "tasks/database/secret: A Secret's type": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_secrets_that_no_cluster_can_be_made_with",
    "tasks/database/secret: Set _": "tests/tasks/test_ways_out_of_a_database.py"
    "::test_secrets_that_no_cluster_can_be_made_with",
    "database/status: Somebody asked": "tests/tasks/test_database_troubles.py"
    "::test_a_database_that_a_person_stopped_is_named_at_once_and_never_waited_out",
    "tasks/database/postgres_cluster: Nothing stops that": "tests/tasks/test_database_troubles.py"
    "::test_a_database_that_somebody_deletes_is_named_and_never_called_unchanged",
    "phase ": "tests/tasks/test_database_troubles.py"
    "::test_a_trouble_is_named_with_its_way_out_and_the_next_run_goes_on",
    "warning ": "tests/tasks/test_database_troubles.py"
    "::test_a_trouble_is_named_with_its_way_out_and_the_next_run_goes_on",
    "resources/backup_blobs: Compare": "tests/tasks/test_database.py"
    "::test_a_wrong_subject_is_told_by_azure_s_words_before_anything_waits",
    "resources/backup_blobs: The identity needs": "tests/tasks/test_database_troubles.py"
    "::test_an_identity_without_the_role_is_told_before_there_is_a_cluster",
    "arm/credentials: Sign in again": "tests/arm/test_advice.py"
    "::test_a_policy_that_keeps_the_run_from_something_else_than_arm_is_changed",
    "arm/retry: Sign in again": "tests/arm/test_advice.py"
    "::test_a_sign_in_that_is_over_in_the_middle_of_a_run_is_done_again",
    "tasks/database/pooler": "tests/tasks/test_ways_out_of_a_database.py::test_a_pooler_that_cant_be_made",
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
