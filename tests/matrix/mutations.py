"""`python -m tests.matrix.mutations`: take away one guard after the other, and see the test that stands for it fail.

Each is a text edit in a copy of the repository, where that one test is run before and after. A guard whose text is no
longer there, and a test that doesn't fail without it, are defects of this list or of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .kept import REPOSITORY, product
from .report import read_figures, write_figures


@dataclass(frozen=True)
class Mutation:
    """A guard, how it is taken away, and who notices.

    Args:
        guard: what is taken away.
        file: where it is.
        text: as it stands there, once.
        instead: what stands there then.
        test: the test that fails without it; the part in brackets, if any, chooses among its cases.
    """

    guard: str
    file: str
    text: str
    instead: str
    test: str


MUTATIONS = (
    Mutation(
        "a plan goes no further into a step than it can see",
        "src/aks_postgres/arm/gate.py",
        "        if not self.lets(would):\n            raise PlanEnds(would)",
        "        self.lets(would)",
        "tests/flows/test_steps.py::test_a_plan_ends_where_only_a_run_that_writes_can_go_on",
    ),
    Mutation(
        "backups and tokens for them go to Azure Storage only",
        "src/aks_postgres/resources/storage_account.py",
        'if url.scheme != "https" or not is_azures:',
        "if False:",
        "tests/arm/test_another_answer.py::test_no_backup_and_no_token_goes_where_azure_storage_isnt",
    ),
    Mutation(
        "tokens for Grafana go to Managed Grafana only",
        "src/aks_postgres/resources/grafana_dashboards.py",
        'if url.scheme != "https" or not (',
        "if False and (",
        "tests/tasks/test_database_dashboard.py::test_no_token_goes_elsewhere",
    ),
    Mutation(
        "a plan draws no dashboard",
        "src/aks_postgres/resources/grafana_dashboards.py",
        'if self._azure.gate.lets(f"{label}: would be written"):',
        "if True:",
        "tests/tasks/test_database_dashboard.py::test_a_plan_draws_nothing",
    ),
    Mutation(
        "PgBouncer lets nobody in without TLS or a password",
        "src/aks_postgres/spec/database.py",
        "if name in _POOLER_UNSAFE:",
        "if False:",
        "tests/spec/test_database_spec.py::test_what_makes_no_database_is_refused_by_its_field",
    ),
    Mutation(
        "a redirect of the API server's takes no request elsewhere",
        "src/aks_postgres/kubernetes/client.py",
        "    config.on_request_redirect.append(refuse)\n",
        "",
        "tests/tasks/test_kubernetes_steps.py::test_a_redirect_takes_no_request_elsewhere",
    ),
    Mutation(
        "the resource of another group isn't taken for the one that was asked for",
        "src/aks_postgres/arm/response_checks.py",
        "given[-1] != parts[-1] or _scope(given, parts) != _scope(parts, given)",
        "given[-1] != parts[-1]",
        "tests/arm/test_another_answer.py::test_the_resource_of_another_group_or_subscription_is_no_answer",
    ),
    Mutation(
        "a run looks whether its approved plan still holds before it writes",
        "flows/provision.py",
        "refuse_moved(await make_view(spec), approved_plan)",
        "await make_view(spec)",
        "tests/flows/test_plan_view.py::test_a_run_whose_approved_plan_isn_t_what_it_would_do_writes_nothing",
    ),
    Mutation(
        "the form of a run that deletes takes no other environment than the deployment's",
        "src/aks_postgres/deploy/forms.py",
        '        schema["allOf"] = [{"properties": {"spec": {"const": given["spec"]}}}]\n',
        "",
        "tests/deploy/test_forms.py::test_where_a_run_deletes_the_deployment_fixes_the_environment",
    ),
    Mutation(
        "no schedule rebuilds an environment whose database it would be refused for",
        "src/aks_postgres/deploy/regions.py",
        "if rebuild.is_on and region.spec.database is not None:",
        "if False:",
        "tests/deploy/test_regions.py::test_a_bad_entry_is_refused_with_its_place_what_was_given_and_what_is_allowed",
    ),
    Mutation(
        "what is for the command line alone is in no form",
        "src/aks_postgres/deploy/forms.py",
        '_HIDDEN = ("approved_plan", "runs")',
        '_HIDDEN = ("runs",)',
        "tests/deploy/test_forms.py::test_what_is_for_the_command_line_is_in_no_form",
    ),
    Mutation(
        "a server that loses events ends no silent run by itself",
        "src/aks_postgres/deploy/automations.py",
        "wanted.enabled = not (loses_events and _ends_runs(wanted))",
        "wanted.enabled = True",
        "tests/deploy/test_automations.py::test_a_server_that_loses_events_ends_no_run_by_itself",
    ),
    Mutation(
        "the demo's server says that it is on SQLite, so that no automation ends a run that waits",
        "src/aks_postgres/cli/demo.py",
        '        "PREFECT_SERVER_DATABASE_DRIVER": "sqlite+aiosqlite",\n',
        "",
        "tests/cli/test_demo.py"
        "::test_demo_shows_an_environment_whose_deployments_run_then_the_same_unchanged_and_stop_ends_all",
    ),
    Mutation(
        "a command that is printed has the sandbox that this one uses",
        "src/aks_postgres/commands.py",
        '    return [*words, "--sandbox", "--state", state]',
        "    return words",
        "tests/cli/test_hints.py::test_a_command_gets_what_the_person_gave",
    ),
    Mutation(
        "what a plan can't say of a database in the spec's words keeps its path",
        "src/aks_postgres/runs/database_settings.py",
        "        yield setting(path or change.field, change.old, change.new)",
        "        return",
        "tests/database/test_settings.py::test_what_no_field_decides_keeps_its_path",
    ),
    Mutation(
        "a page with 404 in Azure's place isn't taken for Azure's word",
        "src/aks_postgres/arm/client.py",
        "            refuse_somebody_elses(found)\n",
        "",
        "tests/flows/test_pages_in_between.py::test_a_page_is_no_sign_that_nothing_is_there[the cluster-404]",
    ),
    Mutation(
        "a page with 404 in the cluster's place doesn't say that there are no databases",
        "src/aks_postgres/kubernetes/client.py",
        'if found.get("kind") != "Status" and _is_somebody_elses(response.status, data):',
        "if False:",
        "tests/flows/test_pages_in_between.py::test_a_page_is_no_sign_that_nothing_is_there[databases-404]",
    ),
    Mutation(
        "an operation that runs on a resource is waited for before it is written",
        "src/aks_postgres/arm/reconcile.py",
        "reconcile(resource, lambda: settled(resource), act",
        "reconcile(resource, lambda: look_once(resource), act",
        "tests/tasks/test_every_resource.py::test_a_half_done_operation_is_waited_for_and_not_repeated",
    ),
    Mutation(
        "a cluster that is busy is waited for and asked again",
        "src/aks_postgres/arm/error_codes.py",
        '        return _stop("Choose a cluster.kubernetes_version among the available upgrades.")\n'
        '    return _UNKNOWN if fault.status == 400 and "in progress" not in text else BUSY',
        '        return _stop("Choose a cluster.kubernetes_version among the available upgrades.")\n'
        "    return _UNKNOWN",
        "tests/tasks/test_cluster_writes.py::test_a_busy_cluster_is_asked_again_until_it_isnt",
    ),
    Mutation(
        "an operation that runs on a resource ends before it is deleted",
        "src/aks_postgres/arm/deletion.py",
        "settled_but_for_deletion(resource) if resource.waits else look_once(resource)",
        "look_once(resource)",
        "tests/tasks/test_clean_up.py::test_an_operation_that_runs_on_it_ends_before_it_is_deleted",
    ),
    Mutation(
        "with roles: verify no role is assigned",
        "src/aks_postgres/resources/role_assignments.py",
        "if not azure.assigns_roles:",
        "if False:",
        "tests/flows/test_roles_given.py::test_a_role_counts_where_it_reaches_and_nothing_is_written",
    ),
    Mutation(
        "a cloud's metadata is believed only about its own ARM",
        "src/aks_postgres/arm/cloud_metadata.py",
        'isinstance(entry, dict) and _plain(entry.get("resourceManager")) == _plain(endpoint)',
        "isinstance(entry, dict)",
        "tests/arm/test_cloud_metadata.py::test_what_isnt_told_as_documented_is_not_believed",
    ),
    Mutation(
        "a recording keeps no text that isn't a word of Azure's",
        "src/aks_postgres/arm/redaction.py",
        'is_word = name in _WORDS or (name == "name" and above.casefold() == "sku")',
        "is_word = True",
        "tests/cli/test_recordings.py::test_only_azures_own_words_stay",
    ),
    Mutation(
        "nobody gets into a cluster with Entra by being Owner",
        "src/aks_postgres/preflight/permissions.py",
        'if any(\n        covers(granted.get("dataActions") or [], IN_CLUSTER)',
        'if True or any(\n        covers(granted.get("dataActions") or [], IN_CLUSTER)',
        "tests/tasks/test_requirements.py::test_who_gets_into_a_cluster_with_entra",
    ),
    Mutation(
        "a subnet without room for every node is refused",
        "src/aks_postgres/preflight/subnet.py",
        "    if needed > free:",
        "    if False:",
        "tests/tasks/test_subnet.py::test_each_node_that_the_pools_may_grow_to_needs_an_address",
    ),
    Mutation(
        "a role on a subnet that somebody else gave stays",
        "tasks/clean_up_roles.py",
        "return is_ours and one.role_id",
        "return one.role_id",
        "tests/tasks/test_subnet.py::test_a_role_that_somebody_else_gave_counts_and_stays",
    ),
    Mutation(
        "the tags of what tear_down deletes are read",
        "src/aks_postgres/tear_down/removal.py",
        'if not is_ours(live.get("tags"), spec):',
        "if False:",
        "tests/tasks/test_clean_up.py::test_what_has_lost_its_tags_stays",
    ),
    Mutation(
        "foreign resources in the group stop a tear_down",
        "src/aks_postgres/tear_down/ownership.py",
        '        if is_known and is_ours(resource.get("tags"), spec):\n            continue',
        "        continue",
        "tests/tasks/test_owned.py::test_our_tags_on_what_we_dont_make_dont_make_it_ours",
    ),
    Mutation(
        "provision leaves alone what has our name and not our tags",
        "src/aks_postgres/resources/ownership.py",
        'if live is None or is_ours(live.get("tags"), spec) or group in spec.adopt:',
        "if True:",
        "tests/tasks/test_every_resource.py::test_an_untagged_resource_of_our_name_is_not_ours",
    ),
    Mutation(
        "the lock: one writer per environment",
        "src/aks_postgres/runs/write_lock.py",
        "                return beat.writer\n",
        "                return None\n",
        "tests/flows/test_one_writer.py::test_whoever_lives_is_waited_for",
    ),
    Mutation(
        "the lease decides who takes over",
        "src/aks_postgres/runs/write_lock.py",
        '        if fault.status in (409, 412) and fault.code.startswith("Lease"):\n            return "refused"',
        '        if fault.status in (409, 412) and fault.code.startswith("Lease"):\n            return "done"',
        "tests/flows/test_one_writer.py::test_whoever_slept_writes_only_if_nobody_came_meanwhile[takes over and ends]",
    ),
    Mutation(
        "whoever slept renews its lease first",
        "src/aks_postgres/runs/write_lock.py",
        "        if self._has_failed or slept:\n",
        "        if False:\n",
        "tests/flows/test_one_writer.py::test_whoever_slept_writes_only_if_nobody_came_meanwhile[takes over and ends]",
    ),
    Mutation(
        "another run's heartbeat ends a run",
        "src/aks_postgres/runs/write_lock.py",
        "            if beat is not None and is_anothers and text",
        "            if False and beat is not None and is_anothers and text",
        "tests/flows/test_one_writer.py::test_a_run_that_loses_its_lock_is_ended",
    ),
    Mutation(
        "a heartbeat that ends too late to be true is watched",
        "src/aks_postgres/runs/write_lock.py",
        "            if beat.until <= seen.now + timedelta(seconds=beat.latest_end_s):",
        "            if True:",
        "tests/flows/test_one_writer.py::test_what_a_dead_run_left_is_taken_over[ends in 2099]",
    ),
    Mutation(
        "a heartbeat is taken away by whoever wrote it only",
        "src/aks_postgres/runs/write_lock.py",
        "if text is not None and beat is not None and beat.guid == self.guid:",
        "if text is not None:",
        "tests/flows/test_one_writer.py::test_whoever_slept_writes_only_if_nobody_came_meanwhile",
    ),
    Mutation(
        "the lease on an account that comes later is taken",
        "src/aks_postgres/runs/write_lock.py",
        "            if any(held.lacks_lease for held in self._held):\n",
        "            if False:\n",
        "tests/flows/test_one_writer.py::test_the_lease_on_an_account_that_comes_later_is_taken_before_the_next_write",
    ),
    Mutation(
        "whoever leased an account first has the environment",
        "src/aks_postgres/runs/write_lock.py",
        '            if how == "refused":\n                self._lose(',
        "            if False:\n                self._lose(",
        "tests/flows/test_one_writer.py::test_an_account_that_another_run_leased_first_ends_this_one[after its look]",
    ),
    Mutation(
        "after a sleep, a heartbeat alone has to be there still",
        "src/aks_postgres/runs/write_lock.py",
        "            if slept and held.has_beaten and not held.has_lease and not is_ours:\n",
        "            if False:\n",
        "tests/flows/test_one_writer.py::test_with_a_heartbeat_alone_no_sleeper_writes_later[before its look-there]",
    ),
    Mutation(
        "a lease that was taken late counts once a heartbeat has seen that nobody came before",
        "src/aks_postgres/runs/write_lock.py",
        '            if how == "done":\n                leased.append(held)\n',
        '            if how == "done":\n                held.has_lease = True\n',
        "tests/flows/test_one_writer.py::test_with_a_heartbeat_alone_no_sleeper_writes_later[in its look-there]",
    ),
    Mutation(
        "no write goes while it isn't certain yet whether another run took the lock, too",
        "src/aks_postgres/runs/write_lock.py",
        "        async with self._taking:  # which may still have to find out whether another run took it, too\n",
        "        if True:\n",
        "tests/flows/test_one_writer.py::test_no_write_goes_before_it_is_certain_that_nobody_else_took_the_lock_and_that_one_is_waited_for",
    ),
    Mutation(
        "whoever looked before another run wrote looks again",
        "src/aks_postgres/runs/write_lock.py",
        "        if self._others != before:\n",
        "        if False:\n",
        "tests/flows/test_one_writer.py::test_no_write_goes_before_it_is_certain_that_nobody_else_took_the_lock_and_that_one_is_waited_for",
    ),
    Mutation(
        "a run that was quicker is waited for, and ends nothing",
        "src/aks_postgres/runs/write_lock.py",
        "        inside, self._inside = self._inside, None\n",
        "        inside = self._inside\n",
        "tests/flows/test_one_writer.py::test_no_write_goes_before_it_is_certain_that_nobody_else_took_the_lock_and_that_one_is_waited_for",
    ),
    Mutation(
        "time passes while a process sleeps",
        "src/aks_postgres/arm/gate.py",
        "return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self._boot_s, time.time() - self._wall_s)",
        "return time.time() - self._wall_s",
        "tests/flows/test_one_writer.py::test_time_passes_while_a_process_or_its_machine_sleeps",
    ),
    Mutation(
        "the gate asks the lock at every write",
        "src/aks_postgres/arm/gate.py",
        "            why = await self.fence.admit(write)\n",
        '            why = "open"\n',
        "tests/flows/test_one_writer.py::test_before_there_is_a_lock_only_foundations_are_made",
    ),
    Mutation(
        "nothing is written without a lock",
        "src/aks_postgres/arm/gate.py",
        "        elif self.fence is None:\n",
        "        elif False:\n",
        "tests/flows/test_one_writer.py::test_a_run_without_a_lock_can_write_nothing",
    ),
    Mutation(
        "a run that plans can't write",
        "src/aks_postgres/arm/gate.py",
        '        if not self.writes:\n            raise WouldWrite(f"{write',
        '        if False:\n            raise WouldWrite(f"{write',
        "tests/flows/test_one_writer.py::test_a_run_that_only_reads_can_write_nothing",
    ),
    Mutation(
        "without a lock only foundations are made",
        "src/aks_postgres/arm/gate.py",
        'return self.purpose == "foundation"',
        "return True",
        "tests/flows/test_one_writer.py::test_before_there_is_a_lock_only_foundations_are_made",
    ),
    Mutation(
        "a rebuild that another run did meanwhile isn't done again",
        "flows/rebuild.py",
        "    if now <= found_first:\n",
        "    if True:\n",
        "tests/flows/test_one_writer.py::test_a_rebuild_that_waited_for_the_same_rebuild_changes_nothing[False]",
    ),
    Mutation(
        "what a plan couldn't look at starts no rebuild",
        "flows/rebuild.py",
        "        for step in planned.unknown\n",
        "        for step in ()\n",
        "tests/flows/test_rebuild.py::test_a_plan_with_a_step_that_failed_starts_and_deletes_nothing",
    ),
    Mutation(
        "an unfinished tear-down is a refusal",
        "src/aks_postgres/preflight/generations.py",
        "    if is_rebuild:\n        return warning",
        "    if True:\n        return warning",
        "tests/tasks/test_generation.py::test_a_tear_down_that_has_begun_is_refused_with_both_ways_to_finish_it",
    ),
    Mutation(
        "a page of a list on another host isn't followed",
        "src/aks_postgres/arm/response_checks.py",
        "        if not is_below(url, self._own):\n",
        "        if False:\n",
        "tests/arm/test_foreign_hosts.py::test_our_own_listings_dont_follow_either",
    ),
    Mutation(
        "an answer has a limit in size",
        "src/aks_postgres/arm/response_checks.py",
        "            if len(found) > LARGEST_BYTES:\n",
        "            if False:\n",
        "tests/arm/test_endless.py::test_no_read_takes_more_than_the_limit",
    ),
    Mutation(
        "live data without a proven backup stops a tear_down",
        "src/aks_postgres/tear_down/live_data.py",
        "        if reasons:\n",
        "        if False:\n",
        "tests/tasks/test_live_data.py::test_a_cluster_without_a_fresh_backup_is_named",
    ),
    Mutation(
        "a backup that only Kubernetes knows proves nothing",
        "src/aks_postgres/tear_down/live_data.py",
        "            doubt = _doubt_of_blobs(cluster, backup, data.object_stores, seen)\n",
        "            doubt = None\n",
        "tests/tasks/test_live_data.py::test_a_backup_that_only_kubernetes_knows_proves_nothing",
    ),
    Mutation(
        "blobs that couldn't be read prove nothing",
        "src/aks_postgres/tear_down/archive_check.py",
        "    if archive.unread:\n",
        "    if False:\n",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a backup of another database proves nothing",
        "src/aks_postgres/tear_down/archive_check.py",
        "    if not system_id or info.system_id != system_id:\n",
        "    if False:\n",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a backup without its data proves nothing",
        "src/aks_postgres/tear_down/archive_check.py",
        "        if gone:\n",
        "        if False:\n",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a backup without its own WAL proves nothing",
        "src/aks_postgres/tear_down/archive_check.py",
        "        if number not in own:\n",
        "        if False:\n",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a gap in the WAL after a backup is no proof",
        "src/aks_postgres/tear_down/archive_check.py",
        "    if len(there) < newest - begin + 1:\n",
        "    if False:\n",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a timeline without its history is no proof",
        "src/aks_postgres/tear_down/archive_check.py",
        "sorted(timelines - {began} - known)",
        "()",
        "tests/tasks/test_archive_check.py::test_a_backup_whose_blobs_tell_otherwise_isnt_proven",
    ),
    Mutation(
        "a backup that its ObjectStore doesn't know proves nothing",
        "src/aks_postgres/tear_down/live_data.py",
        "not first <= end < last + timedelta(seconds=1)",
        "False",
        "tests/tasks/test_live_data.py::test_a_backup_that_its_object_store_doesnt_know_proves_nothing",
    ),
    Mutation(
        "an object that is being deleted counts as none",
        "src/aks_postgres/kubernetes/objects.py",
        "    if live is None or not is_going(live):\n",
        "    if live is None or live:\n",
        "tests/tasks/test_database_troubles.py::test_an_object_that_is_being_deleted_is_waited_for_and_made_anew",
    ),
    Mutation(
        "a Postgres cluster that somebody deletes stops the run",
        "tasks/database/postgres_cluster.py",
        "    if is_going(live):\n",
        "    if False:\n",
        "tests/tasks/test_database_troubles.py"
        "::test_a_database_that_somebody_deletes_is_named_and_never_called_unchanged",
    ),
    Mutation(
        "no field of a spec takes a secret",
        "src/aks_postgres/spec/model.py",
        "    if holds_secret(value):\n",
        "    if False:\n",
        "tests/spec/test_no_secrets.py::test_a_secret_is_refused_and_not_repeated",
    ),
    Mutation(
        "no message repeats a secret that was given",
        "src/aks_postgres/spec/problems.py",
        "    if holds_secret(given):\n",
        "    if False:\n",
        "tests/spec/test_no_secrets.py::test_a_secret_is_refused_and_not_repeated",
    ),
    Mutation(
        "a condition about archiving that no primary keeps true proves nothing",
        "src/aks_postgres/tear_down/live_data.py",
        "    reasons += _not_archiving_now(cluster)\n",
        "",
        "tests/tasks/test_live_data.py::test_a_condition_about_archiving_that_no_primary_keeps_true_proves_nothing",
    ),
    Mutation(
        "a database that a person stopped isn't waited out",
        "tasks/database/postgres_cluster.py",
        "    if (held := Held.of(live)) is not None:\n",
        "    if (held := Held.of(live)) is not None and not live:\n",
        "tests/tasks/test_database_troubles.py"
        "::test_a_database_that_a_person_stopped_is_named_at_once_and_never_waited_out",
    ),
    Mutation(
        "a changed database is ready once its instances were restarted",
        "tasks/database/postgres_cluster.py",
        "if left or not state.is_ready:",
        "if not state.is_ready:",
        "tests/tasks/test_database_troubles.py"
        "::test_a_change_is_waited_for_until_the_operator_has_restarted_every_instance",
    ),
    Mutation(
        "archiving is seen of a database that has a backup, too",
        "tasks/database/backups.py",
        "            await _archives(api, spec, target, api.settle)\n",
        "            pass\n",
        "tests/tasks/test_database_troubles.py"
        "::test_archiving_that_doesnt_work_ends_in_time_with_the_operators_words",
    ),
    Mutation(
        "a write whose answer was lost isn't sent again before a look",
        "src/aks_postgres/arm/client.py",
        "        middlewares=(answered_or_not,),\n",
        "",
        "tests/tasks/test_every_resource.py::test_a_lost_answer_is_looked_up_and_the_write_not_repeated",
    ),
    Mutation(
        "If-Match on writes of the cluster",
        "src/aks_postgres/resources/managed_cluster.py",
        "    if_match=True,  # so that",
        "    if_match=False,  # so that",
        "tests/tasks/test_cluster_writes.py::test_a_change_by_somebody_in_between_is_kept",
    ),
    Mutation(
        "a token that has expired is renewed",
        "src/aks_postgres/arm/client.py",
        "            await self._renewable.renew()\n",
        "",
        "tests/arm/test_session.py::test_a_token_that_expires_before_a_write_is_renewed_and_the_write_sent_once_more",
    ),
    Mutation(
        "a resource that is Failed or Canceled is written again",
        "src/aks_postgres/arm/diff.py",
        'if state.casefold() in ("failed", "canceled"):',
        "if False:",
        "tests/tasks/test_every_resource.py::test_a_failed_resource_is_written_again",
    ),
    Mutation(
        "success is believed only when the resource agrees",
        "src/aks_postgres/arm/reconcile.py",
        "        if again.needs_write:\n            before, overruled",
        "        if False:\n            before, overruled",
        "tests/tasks/test_cluster_writes.py::test_succeeded_without_the_change_is_written_again",
    ),
    Mutation(
        "Grafana's link is written again when its update was canceled",
        "src/aks_postgres/resources/grafana.py",
        'if state.casefold() in ("failed", "canceled"):',
        "if False:",
        "tests/tasks/test_grafana.py::test_an_update_that_was_canceled_is_sent_again_though_the_link_is_there",
    ),
    Mutation(
        "locks on what goes stop a tear_down",
        "src/aks_postgres/tear_down/locks.py",
        "return target == scope or target.startswith",
        "return False and target.startswith",
        "tests/tasks/test_locks.py::test_a_lock_above_on_or_below_what_goes_is_named",
    ),
    Mutation(
        "tokens and keys in Azure's texts are cut out",
        "src/aks_postgres/foreign_text.py",
        "    for pattern in (*_SECRETS, *_LONG):\n",
        "    for pattern in ():\n",
        "tests/arm/test_answers.py::test_secrets_in_foreign_text_are_removed",
    ),
    Mutation(
        "a run that only reads deletes nothing",
        "src/aks_postgres/arm/resource.py",
        '        azure.gate.require(f"{label}: would be deleted")',
        '        str(f"{label}: would be deleted")',
        "tests/tasks/test_clean_up.py::test_a_run_that_only_reads_deletes_nothing",
    ),
    Mutation(
        "backups of an environment that is there don't change their identity",
        "tasks/managed_identity.py",
        'if spec.storage.identity == "shared":',
        "if False:",
        "tests/tasks/test_managed_identity.py::test_the_other_way_takes_a_rebuild",
    ),
    Mutation(
        "a kubeconfig on disk is its owner's only",
        "src/aks_postgres/cli/kubeconfig_file.py",
        '(dir=file.parent, prefix=f".{file.name}.")',
        '(dir=file.parent, prefix=f".{file.name}."); os.chmod(name, 0o644)',
        "tests/cli/test_kubeconfig_file.py::test_an_earlier_one_is_replaced_and_ends_with_mode_0600",
    ),
    Mutation(
        "a write that got no answer in time is waited for before the next look",
        "src/aks_postgres/arm/reconcile.py",
        "            await clock.sleep(ARRIVES_WITHIN_S)\n",
        "",
        "tests/tasks/test_every_resource.py::test_a_write_that_arrives_after_its_time_out_is_waited_for_and_not_repeated",
    ),
    Mutation(
        "a role assignment that isn't shown is looked for again",
        "tasks/verify.py",
        "_LOOKS_FOR_ROLES = 6",
        "_LOOKS_FOR_ROLES = 1",
        "tests/tasks/test_verify.py::test_a_role_that_azure_doesnt_show_for_a_moment_isnt_gone",
    ),
    Mutation(
        "a plan writes nothing, even without the gate",
        "src/aks_postgres/arm/reconcile.py",
        "    if resource.azure.gate.plans:\n        live = await",
        "    if resource.azure.gate is None:\n        live = await",
        "tests/flows/test_plan.py::test_with_the_gate_taken_away_a_plan_still_writes_nothing",
    ),
    Mutation(
        "a step of one generation waits for none of another's",
        "src/aks_postgres/runs/steps.py",
        "Step[Any](task, [*_steps_in(arguments), *after])",
        "Step[Any](task, [*after])",
        "tests/flows/test_steps.py::test_a_step_of_one_generation_is_none_of_another",
    ),
    Mutation(
        "a wait ends at its deadline",
        "src/aks_postgres/arm/poll.py",
        "elapsed_s() > deadline_s or state",
        "state",
        "tests/arm/test_poll.py::test_after_the_deadline_there_is_no_other_look",
    ),
    Mutation(
        "a group is never made in order to be marked",
        "src/aks_postgres/arm/reconcile.py",
        "if live is None and not creates:",
        "if False:",
        "tests/tasks/test_resource_group.py::test_a_group_that_is_gone_isnt_made_to_be_marked",
    ),
    Mutation(
        "whoever slept before it had the lock writes nothing",
        "src/aks_postgres/runs/write_lock.py",
        "        self._refuse_slept()\n        before = self._sleeps\n",
        "        before = self._sleeps\n",
        "tests/flows/test_one_writer.py::test_whoever_slept_before_it_had_the_lock_writes_nothing"
        "[an environment-by its watch]",
    ),
    Mutation(
        "whoever slept while founding writes nothing",
        "src/aks_postgres/runs/write_lock.py",
        '                self._refuse_slept()\n                return "a foundation',
        '                return "a foundation',
        "tests/flows/test_one_writer.py::test_whoever_slept_before_it_had_the_lock_writes_nothing"
        "[nothing yet-by its watch]",
    ),
    Mutation(
        "what was planned for groups that are gone since isn't written",
        "src/aks_postgres/runs/write_lock.py",
        "        if read and (gone := read - await self._groups_now()):",
        "        if read and (gone := frozenset[str]()):",
        "tests/flows/test_one_writer.py::test_a_plan_that_another_run_has_overtaken_is_not_carried_out",
    ),
    Mutation(
        "an address that AKS was given is its owner's",
        "src/aks_postgres/tear_down/node_group.py",
        "if address_id not in given\n",
        "if address_id\n",
        "tests/tasks/test_node_group.py::test_an_address_that_aks_was_given_is_its_owners_though_aks_uses_it",
    ),
    Mutation(
        "of two numbers nobody knows which is AKS's",
        "src/aks_postgres/tear_down/node_group.py",
        "        return found if len(found) == 1 else set()",
        "        return found",
        "tests/tasks/test_node_group.py::test_of_two_numbers_nobody_knows_which_is_aks_s",
    ),
    Mutation(
        "what only the cluster's objects explain isn't known without them",
        "src/aks_postgres/tear_down/node_group.py",
        'if data is None and str(resource["type"]).casefold() in _OF_OBJECTS:',
        "if False:",
        "tests/tasks/test_node_group.py::test_what_only_objects_explain_isnt_known_without_them",
    ),
    Mutation(
        "a deny assignment doesn't count for whom it leaves out",
        "src/aks_postgres/tear_down/forbidden.py",
        "    if caller_id in excluded:",
        "    if False:",
        "tests/tasks/test_forbidden.py::test_a_deny_assignment_that_isnt_in_the_way_isnt_named[the caller is excluded]",
    ),
    Mutation(
        "a management group's deny assignment counts for the groups below it",
        "src/aks_postgres/tear_down/forbidden.py",
        " or scope.startswith(_MANAGEMENT_GROUPS)",
        "",
        "tests/tasks/test_forbidden.py::"
        "test_a_deny_assignment_that_would_be_met_half_way_is_named[on a management group]",
    ),
    Mutation(
        "an immutable container is seen before the first deletion",
        "src/aks_postgres/tear_down/forbidden.py",
        '        if properties.get("hasImmutabilityPolicy") or policy:',
        "        if False:",
        "tests/tasks/test_forbidden.py::test_what_is_kept_in_an_account_is_named",
    ),
    Mutation(
        "a retention that somebody made longer stays",
        "src/aks_postgres/resources/blob_service.py",
        "max(spec.storage.soft_delete_days, _days(properties.get(name)))",
        "spec.storage.soft_delete_days",
        "tests/tasks/test_backup_protection.py::test_a_longer_retention_stays",
    ),
    Mutation(
        "backups keep their versions",
        "src/aks_postgres/resources/blob_service.py",
        '            "isVersioningEnabled": True,\n',
        "",
        "tests/tasks/test_backup_protection.py::test_a_new_account_keeps_what_is_deleted_for_two_weeks",
    ),
    Mutation(
        "the Helm way calls what installs the chart",
        "src/aks_postgres/kubernetes/operator_chart.py",
        "        await session.install(RELEASE, chart)\n",
        "        pass\n",
        "tests/tasks/test_operator_chart.py::TestRelease::test_the_chart_is_installed_and_the_operator_available",
    ),
    Mutation(
        "a pending Helm revision dated 2099 isn't waited for",
        "src/aks_postgres/kubernetes/helm_release.py",
        "if now < live.given_up_at <= now + _FOREIGN_TIMEOUT + _CLOCKS_DIFFER:",
        "if now < live.given_up_at:",
        "tests/arm/test_helm_release.py::test_a_pending_revision_dated_2099_blocks_nobody",
    ),
    Mutation(
        "parents of a kubeconfig are made for their owner only",
        "src/aks_postgres/files/own_folder.py",
        "part.mkdir(mode=0o700, exist_ok=True)",
        "part.mkdir(mode=0o700 if part == folder else 0o777, exist_ok=True)",
        "tests/cli/test_kubeconfig_file.py::test_the_file_is_its_owner_s_alone_whatever_the_umask",
    ),
    Mutation(
        "parents of the sandbox's folder are made for their owner only",
        "packages/azure-sandbox/src/azure_sandbox/__main__.py",
        "        part.mkdir(mode=0o700, exist_ok=True)",
        "        part.mkdir(mode=0o777, exist_ok=True)",
        "packages/azure-sandbox/tests/test_process.py::test_a_port_in_use_is_one_plain_line_and_exit_code_2",
    ),
    Mutation(
        "a blob that must be new replaces none",
        "packages/azure-sandbox/src/azure_sandbox/core/blob_requests.py",
        'self.headers.get("if-none-match")) is not None and _matches(none, live):',
        'self.headers.get("if-none-match")) is not None and not live:',
        "packages/azure-sandbox/tests/test_blobs.py::test_conditions_keep_a_blob_from_being_overwritten",
    ),
    Mutation(
        "each request of a batch needs the right to what it does",
        "packages/azure-sandbox/src/azure_sandbox/core/blobs.py",
        "                self._authorize(account, caller, there, name, part.query)\n",
        "",
        "packages/azure-sandbox/tests/test_blobs.py::test_a_reader_can_not_write_blocks_leases_or_batches",
    ),
    Mutation(
        "a version goes only by the right to delete versions",
        "packages/azure-sandbox/src/azure_sandbox/core/blobs.py",
        'verb = "deleteBlobVersion/action" if "versionid" in query else "delete"',
        'verb = "delete"',
        "packages/azure-sandbox/tests/test_blobs.py::test_only_the_owner_of_data_deletes_versions",
    ),
    Mutation(
        "what an immutability policy keeps is neither replaced nor deleted",
        "packages/azure-sandbox/src/azure_sandbox/core/blob_contents.py",
        "        if until_s is not None and self._sandbox.clock.now_s() < until_s:",
        "        if until_s is None:",
        "packages/azure-sandbox/tests/test_blobs.py::test_what_a_policy_keeps_stays",
    ),
    Mutation(
        "a pod waits for the Secrets that its volumes name",
        "packages/azure-sandbox/src/azure_sandbox/kubernetes/controllers/pods.py",
        "        if missing := self._missing_secret(pod):",
        "        if missing := ():",
        "packages/azure-sandbox/tests/kubernetes/test_plugin_install.py"
        "::test_the_plugin_waits_for_cert_managers_secrets",
    ),
    Mutation(
        "pods that must be apart don't share a node",
        "packages/azure-sandbox/src/azure_sandbox/kubernetes/controllers/spreading.py",
        '        if _meets(term, node, others, store):\n            return _WHY["apart"]',
        '        if not term:\n            return _WHY["apart"]',
        "packages/azure-sandbox/tests/kubernetes/test_life.py"
        "::test_spread_and_anti_affinity_keep_pods_apart_or_waiting",
    ),
    Mutation(
        "what a script has in the background ends when it is told to",
        "src/aks_postgres/cli/main.py",
        "if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:",
        "if False:",
        "tests/cli/test_signals.py::test_what_a_script_has_in_the_background_ends_when_it_is_told_to[15-plain]",
    ),
    Mutation(
        "a namespace isn't made for ever",
        "tasks/namespaces.py",
        "for _ in range(_TIMES_MADE):",
        "while True:",
        "tests/tasks/test_kubernetes_steps.py::test_a_namespace_that_is_deleted_each_time_it_is_made_ends_the_step",
    ),
    Mutation(
        "a signal that Typer takes for Ctrl-C is told",
        "src/aks_postgres/cli/main.py",
        "if end.code == ExitCode.INTERRUPTED:",
        "if end.code is None:",
        "tests/cli/test_signals.py::test_whatever_a_command_does_a_signal_ends_it_with_one_line",
    ),
    Mutation(
        "a state that nobody knows is refused",
        "src/aks_postgres/preflight/generations.py",
        "    findings += _judge_states(ours)\n",
        "",
        "tests/tasks/test_generation.py::test_a_state_that_is_none_is_refused_whichever_generation_has_it[1-Retiring]",
    ),
    Mutation(
        "a founder sees who has taken a group alone",
        "src/aks_postgres/runs/write_lock.py",
        " and not self._is_founding:\n            return found",
        ":\n            return found",
        "tests/flows/test_one_writer.py"
        "::test_whoever_founds_an_environment_waits_for_a_run_that_has_taken_a_group_of_it_alone",
    ),
    Mutation(
        "whoever has taken a group alone sees the founder",
        "src/aks_postgres/runs/write_lock.py",
        "not leased and any(map(self._holder, await self._survey()))",
        "False",
        "tests/flows/test_one_writer.py"
        "::test_a_run_that_takes_a_group_alone_waits_for_the_founder_that_has_the_lease_of_the_account",
    ),
    Mutation(
        "a run that a person cancelled is no crash",
        "src/aks_postgres/runs/signals.py",
        "if not await _is_cancelling():",
        "if True:",
        "tests/flows/test_cancelled.py::test_a_run_that_a_person_cancelled_ends_as_cancelled",
    ),
    Mutation(
        "a process that is ended otherwise is no cancelled run",
        "src/aks_postgres/runs/signals.py",
        "if not await _is_cancelling():",
        "if False:",
        "tests/flows/test_cancelled.py::test_a_run_whose_process_is_ended_otherwise_is_no_cancelled_one",
    ),
    Mutation(
        "a token whose life is over is renewed for a pod's port",
        "src/aks_postgres/kubernetes/client.py",
        "if refused.status != 401 or not self._by_entra:",
        "if True:",
        "tests/arm/test_port_forward.py::test_a_token_whose_life_is_over_is_renewed_once",
    ),
    Mutation(
        "the Prefect server doesn't start without a password",
        "src/aks_postgres/cli/deployments.py",
        "    require_password(os.environ)\n",
        "    require_password({'PREFECT_SERVER_API_AUTH_STRING': 'admin:a-long-enough-password'})\n    sys.exit(0)\n",
        "tests/deploy/test_hardening.py::test_the_command_of_a_server_refuses_an_empty_password",
    ),
    Mutation(
        "no job variable reaches a job template",
        "deployments/process/base-job-template.json",
        '"stream_output": true',
        '"stream_output": true, "command": "{{ command }}"',
        "tests/deploy/test_hardening.py::test_no_job_variable_reaches_a_template",
    ),
    Mutation(
        "the set-up gets nothing of Azure's",
        "deployments/compose.yaml",
        "    environment: *client\n    depends_on:\n      server:",
        "    environment: *client\n    env_file: [write.env]\n    depends_on:\n      server:",
        "tests/deploy/test_hardening.py::test_only_a_worker_has_anything_of_azures_and_each_has_its_own",
    ),
    Mutation(
        "what writes has no right to delete",
        "src/aks_postgres/deploy/azure_roles.py",
        '    if identity == "delete":',
        '    if identity != "read":',
        "tests/deploy/test_azure_roles.py::test_what_writes_may_provision_and_deletes_nothing",
    ),
    Mutation(
        "an image's digest is counted, not believed",
        "src/aks_postgres/deploy/images.py",
        "    if said != digest:",
        "    digest = said\n    if said != digest:",
        "tests/deploy/test_images.py::test_what_a_registry_cannot_say_is_a_refusal_and_nothing_is_written",
    ),
    Mutation(
        "rules of others stay in the account's lifecycle policy",
        "src/aks_postgres/resources/lifecycle_policy.py",
        '{"rules": [*others, rule]}',
        '{"rules": [rule]}',
        "tests/tasks/test_backup_lifecycle.py::test_rules_of_others_stay_and_the_spec_says_how_long",
    ),
    Mutation(
        "somebody else's rule for versions is enough",
        "src/aks_postgres/resources/lifecycle_policy.py",
        "        for rule in others\n",
        "        for rule in others[:0]\n",
        "tests/tasks/test_backup_lifecycle.py::test_somebody_elses_rule_for_versions_is_enough",
    ),
    Mutation(
        "a container that is there isn't taken for one with immutable versions",
        "src/aks_postgres/resources/blob_container.py",
        '    if wanted and not (isinstance(has, dict) and has.get("enabled")) and',
        "    if wanted and has == 0 and",
        "tests/tasks/test_backup_immutability.py::test_a_container_that_is_there_is_refused_with_the_ways_out",
    ),
    Mutation(
        "a locked immutability policy is a person's to extend",
        "src/aks_postgres/resources/blob_container.py",
        '    if properties.get("state") == "Locked":',
        '    if properties.get("state") == "locked":',
        "tests/tasks/test_backup_immutability.py::test_a_locked_policy_of_fewer_days_is_a_persons_to_extend",
    ),
    Mutation(
        "a longer immutability stays",
        "src/aks_postgres/resources/blob_container.py",
        "    if has >= days or",
        "    if has == days or",
        "tests/tasks/test_backup_immutability.py::test_more_days_are_written_and_fewer_are_not",
    ),
    Mutation(
        "a deployment that never gets available says why",
        "src/aks_postgres/kubernetes/available.py",
        "if last is not None and (troubles := await troubles_of(api, last)):",
        "if last is None and (troubles := await troubles_of(api, last)):",
        "tests/tasks/test_kubernetes_steps.py::test_an_operator_that_never_gets_available_is_told_with_kubernetes_words",
    ),
    Mutation(
        "a kill for memory is told from a crash",
        "src/aks_postgres/kubernetes/pod_troubles.py",
        'if ended.get("reason") == "OOMKilled" or state.get("reason") == "OOMKilled":',
        "if False:",
        "tests/tasks/test_pod_troubles.py::test_a_pod_in_trouble_says_which[killed]",
    ),
    Mutation(
        "what only an event says is read there",
        "src/aks_postgres/kubernetes/pod_troubles.py",
        "            found = await _from_events(api, namespace, [pod for pod in pods if not _is_ready(pod)])\n",
        "            found = []\n",
        "tests/tasks/test_pod_troubles.py::test_the_reason_is_found_wherever_kubernetes_says_it[Unhealthy]",
    ),
    Mutation(
        "a pod that can't be made is told by its deployment",
        "src/aks_postgres/kubernetes/pod_troubles.py",
        'if condition["type"] == "ReplicaFailure" and condition["status"] == "True":',
        "if False:",
        "tests/tasks/test_pod_troubles.py::test_the_reason_is_found_wherever_kubernetes_says_it[FailedCreate]",
    ),
    Mutation(
        "two writes that were answered with another value are enough",
        "src/aks_postgres/arm/reconcile.py",
        "            if stays := [field for field in overruled if field in before]:\n",
        "            if stays := [field for field in overruled if field not in overruled]:\n",
        "tests/tasks/test_overruled.py::test_writes_that_a_policy_changes_are_sent_twice",
    ),
    Mutation(
        "a write that is lost isn't taken for an overruled one",
        "src/aks_postgres/arm/reconcile.py",
        "    return [field for field in found.change.fields if field in told]\n",
        "    return list(found.change.fields)\n",
        "tests/tasks/test_overruled.py::test_writes_that_are_lost_are_sent_again_more_than_once",
    ),
    Mutation(
        "a right with a condition isn't a missing role",
        "src/aks_postgres/arm/error_codes.py",
        'if fault.code == "AuthorizationFailed" and "abac condition" in text:',
        "if False:",
        "tests/arm/test_rules.py::test_what_a_person_must_mend_stops_with_advice",
    ),
    Mutation(
        "a run from a terminal pages nobody",
        "src/aks_postgres/deploy/automations.py",
        'f"prefect.tag.{PRODUCT}"}, _OF_DEPLOYMENT]',
        'f"prefect.tag.{PRODUCT}"}]',
        "tests/deploy/test_run_life.py::test_a_terminals_run_with_prefects_own_pace_of_heartbeats_isnt_taken_for_dead",
    ),
    Mutation(
        "a run that waits for a slot for ever is noticed",
        "src/aks_postgres/deploy/automations.py",
        '        "AwaitingConcurrencySlot",\n',
        "",
        "tests/deploy/test_run_life.py::test_whoever_should_notice_does_and_nobody_else"
        "[the limit never frees a slot]",
    ),
    Mutation(
        "an approved run that nobody takes is noticed",
        "src/aks_postgres/deploy/automations.py",
        "_not_started_after({_RESUMING})",
        '_not_started_after({"none"})',
        "tests/deploy/test_run_life.py::test_whoever_should_notice_does_and_nobody_else"
        "[an approved run that nobody takes]",
    ),
    Mutation(
        "a cancelling that never ends is noticed",
        "src/aks_postgres/deploy/automations.py",
        '    types = sorted(["CANCELLING", *(state.value for state in TERMINAL_STATES)])\n',
        "    types = sorted(state.value for state in TERMINAL_STATES)\n",
        "tests/deploy/test_run_life.py::test_whoever_should_notice_does_and_nobody_else"
        "[a cancelling that never ends]",
    ),
    Mutation(
        "a server that would lose runs is refused",
        "src/aks_postgres/deploy/registered.py",
        'if services.get(name, {}).get("enabled") is False',
        "if False",
        "tests/deploy/test_registered.py::test_set_up_refuses_such_a_server_before_it_changes_anything",
    ),
    Mutation(
        "a schedule that is off is named",
        "src/aks_postgres/deploy/registered.py",
        "    return on if live.paused else [slug for slug in on if slug not in active]\n",
        "    return [slug for slug in on if slug not in active]\n",
        "tests/deploy/test_registered.py::test_a_schedule_that_is_off_there_and_on_in_the_file_is_named",
    ),
    Mutation(
        "an address without /api is no server",
        "src/aks_postgres/runs/prefect_server.py",
        'if says.lstrip()[:1] == b"<":',
        "if False:",
        "tests/cli/test_prefect_server.py::test_an_address_without_api_is_told_from_a_server",
    ),
    Mutation(
        "an address that is none is refused in a line",
        "src/aks_postgres/runs/prefect_server.py",
        "except (OSError, ValueError, http.client.HTTPException) as error:",
        "except (OSError, ValueError) as error:",
        "tests/cli/test_prefect_server.py::test_an_address_where_nobody_answers_is_named_with_the_variable",
    ),
    Mutation(
        "an operator that ran when its settings were written is restarted by the next run",
        "tasks/database/components.py",
        '            settings["metadata"]["annotations"] = {SETTINGS_FOR: note}',
        "            pass",
        "tests/tasks/test_database.py::test_an_operator_that_ran_when_its_settings_were_written_is_restarted_by_the_next_run",
    ),
    Mutation(
        "an operator that shows PostgreSQL passwords is refused",
        "src/aks_postgres/spec/database.py",
        "    if patch < first:",
        "    if False:",
        "tests/spec/test_database_spec.py::test_an_operator_that_doesnt_suit_the_database_is_refused",
    ),
    Mutation(
        "a file that a person names is a regular one",
        "src/aks_postgres/files/given_files.py",
        "            if kind != stat.S_IFREG:",
        "            if False:",
        "tests/files/test_given_files.py::test_only_a_regular_file_of_bounded_size_is_read[FIFO]",
    ),
    Mutation(
        "a FIFO isn't waited for where a file is opened",
        "src/aks_postgres/files/given_files.py",
        "os.O_RDONLY | os.O_NONBLOCK | ",
        "os.O_RDONLY | ",
        "tests/files/test_given_files.py::test_only_a_regular_file_of_bounded_size_is_read[FIFO]",
    ),
    Mutation(
        "a file is read up to a size",
        "src/aks_postgres/files/given_files.py",
        "    if len(found) > largest_bytes:",
        "    if False:",
        "tests/files/test_given_files.py::test_only_a_regular_file_of_bounded_size_is_read[large file]",
    ),
    Mutation(
        "YAML unfolds to so many values and no more",
        "src/aks_postgres/files/yaml_text.py",
        "        if nodes > MOST_NODES:",
        "        if False:",
        "tests/files/test_yaml_text.py::test_what_is_made_to_cost_is_one_line[aliases of aliases-typed]",
    ),
    Mutation(
        "YAML is so deep and no deeper",
        "src/aks_postgres/files/yaml_text.py",
        "            if len(open_nodes) > DEEPEST:",
        "            if False:",
        "tests/files/test_yaml_text.py::test_what_is_made_to_cost_is_one_line[dashes-typed]",
    ),
    Mutation(
        "YAML is read by the one loader",
        "src/aks_postgres/reports/cost.py",
        "    found: dict[str, Any] = yaml_documents(",
        "    import yaml\n\n    found: dict[str, Any] = yaml.safe_load(",
        "tests/repository/test_one_loader.py::test_yaml_is_read_by_the_one_loader_with_limits",
    ),
    Mutation(
        "the digest of what has another checksum isn't told",
        "src/aks_postgres/kubernetes/download.py",
        "isn't the file whose SHA-256 the spec has ({sha256[:12]}...)",
        "isn't the file whose SHA-256 the spec has ({_digest(data)[:12]}...)",
        "tests/arm/test_download.py::test_what_has_another_checksum_is_never_described",
    ),
    Mutation(
        "a download is read to its end",
        "src/aks_postgres/kubernetes/download.py",
        "                    data += chunk\n",
        "                    data += chunk\n                    break\n",
        "tests/arm/test_download.py::test_a_download_that_comes_in_pieces_is_read_to_its_end[told]",
    ),
    Mutation(
        "a given file is read beside the event loop",
        "src/aks_postgres/kubernetes/download.py",
        "await asyncio.to_thread(read_given, path, limits.download_bytes)",
        "read_given(path, limits.download_bytes)",
        "tests/arm/test_download.py::test_a_file_is_read_beside_the_event_loop",
    ),
    Mutation(
        "a chart unpacks to so many bytes and no more",
        "src/aks_postgres/kubernetes/operator_chart.py",
        "        if len(unpacked) > limits.chart_bytes:",
        "        if False:",
        "tests/tasks/test_operator_check.py::TestChart::test_a_chart_that_unpacks_without_an_end_is_none",
    ),
    Mutation(
        "what the operator is installed from is judged by the preflight",
        "tasks/preflight.py",
        "operator = asking_operator.result() + asking",
        "operator = asking",
        "tests/tasks/test_operator_check.py::test_a_manifest_that_is_none_is_a_problem_of_its_field",
    ),
    Mutation(
        "a number where Kubernetes takes a text is refused",
        "src/aks_postgres/preflight/operator_check.py",
        "    wrong = [mistake for found in await asyncio.to_thread(_all_wrong, objects) for mistake in found]",
        "    wrong: list[WrongType] = []",
        "tests/tasks/test_operator_check.py::TestChart::test_a_value_of_the_wrong_type_is_told_by_its_own_field",
    ),
    Mutation(
        "true isn't taken for a text or a number",
        "src/aks_postgres/kubernetes/types_check.py",
        '        return kind == "bool"',
        "        return True",
        "tests/tasks/test_operator_check.py::test_a_type_that_kubernetes_refuses_is_found_at_its_path",
    ),
    Mutation(
        "the chart is rendered with its values by the preflight",
        "src/aks_postgres/preflight/operator_check.py",
        "            objects = await rendered(RELEASE, spec.namespaces.operator, chart)",
        "            objects: list[Json] = []",
        "tests/tasks/test_operator_check.py::TestChart::test_what_the_chart_s_own_schema_refuses_is_told_in_helm_s_words",
    ),
    Mutation(
        "a full disk is one line on the terminal",
        "src/aks_postgres/runs/failures.py",
        "    if isinstance(error, OSError) and (problem := disk_problem(error)):",
        "    if isinstance(error, OSError) and not (problem := disk_problem(error)):",
        "tests/cli/test_files_and_disks.py::test_output_that_nobody_can_take_is_one_line[arguments0]",
    ),
    Mutation(
        "a full disk is one line of a step, without a retry",
        "src/aks_postgres/runs/step.py",
        "        if problem := disk_problem(error):",
        "        if not (problem := disk_problem(error)):",
        "tests/tasks/test_policy.py::test_a_worker_s_disk_that_takes_no_more_is_one_line_and_no_retry",
    ),
    Mutation(
        "a demo's server that can't be recorded is ended",
        "src/aks_postgres/cli/demo.py",
        "        part.stop()  # `stop` wouldn't know of it",
        "        pass",
        "tests/cli/test_files_and_disks.py::test_a_demo_that_cant_be_recorded_leaves_no_server",
    ),
    Mutation(
        "a rebuild's tear-down that fails half-way says what is gone and what is left",
        "flows/_retirement.py",
        "        raise RebuildFailed(await _unfinished(spec, inventory, started, failures[0])) from failures[0]",
        "        raise failures[0]",
        "tests/flows/test_rebuild.py::test_what_fails_amid_the_deletion_says_what_is_gone_what_is_left_and_how_to_go_on[replace-Grafana_Delete]",
    ),
    Mutation(
        "one wrong type in a spec hides no other problem",
        "src/aks_postgres/spec/problems.py",
        "for found in [*errors, *_hidden(errors, given, model)]",
        "for found in errors",
        "tests/spec/test_problems.py::test_an_entry_of_a_wrong_type_hides_nothing_about_the_others",
    ),
    Mutation(
        "a proxy that can't be used is refused as such",
        "src/aks_postgres/arm/credentials.py",
        '    refuse_unusable_proxy(arm_endpoint(), os.environ.get("AZURE_AUTHORITY_HOST") or facts.login)\n',
        "",
        "tests/arm/test_credentials.py::test_a_proxy_that_cant_be_used_is_named_and_no_credential_is_blamed",
    ),
    Mutation(
        "a policy's refusal in the cluster is no missing right",
        "src/aks_postgres/arm/error_codes.py",
        "        return _forbidden(text)",
        '        return RULES["Forbidden"]',
        "tests/arm/test_rules.py::test_forbidden_is_split_by_its_cause",
    ),
    Mutation(
        "what only Azure writes isn't sent back",
        "src/aks_postgres/arm/writable.py",
        '        if read_only and key != "name" and value == live.get(key):\n            continue\n',
        "",
        "tests/arm/test_writable.py::test_a_whole_resource_goes_back_without_what_only_azure_writes",
    ),
    Mutation(
        "a PATCH holds nobody's other values",
        "src/aks_postgres/arm/writable.py",
        "{key: value for key, value in properties.items() if value != have.get(key)}",
        "properties",
        "tests/arm/test_writable.py::test_a_patch_holds_what_changes_and_nobodys_other_values",
    ),
    Mutation(
        "names with spaces are quoted in URLs",
        "src/aks_postgres/arm/response_checks.py",
        'path.replace(" ", "%20")',
        "path",
        "tests/tasks/test_data_collection.py::test_recording_rules_are_made_and_those_for_windows_switched_off",
    ),
    Mutation(
        "a permanent error says what to do",
        "src/aks_postgres/resources/managed_cluster.py",
        'way_out="Run again."',
        'way_out=""',
        "tests/repository/test_ways_out.py::test_every_permanent_error_and_every_finding_has_a_way_out",
    ),
    Mutation(
        "a refused association is made once the cluster is there",
        "src/aks_postgres/resources/data_collection.py",
        "            await settled(whole)\n            return await resource.put(body, live)\n",
        "            raise\n",
        "tests/flows/test_cluster_requests.py::test_associations_that_azure_refuses_while_the_cluster_is_creating_are_made_afterwards",
    ),
    Mutation(
        "a list that isn't found is no empty group",
        "src/aks_postgres/resources/group_contents.py",
        "if error.status_code == 404 and await _is_gone(azure, group):",
        "if error.status_code == 404:",
        "tests/flows/test_lying_lists.py::test_only_a_group_that_isnt_there_has_nothing_in_it[the list]",
    ),
    Mutation(
        "recommended rule groups are read to their last page",
        "src/aks_postgres/preflight/facts.py",
        '        while url := page.get("nextLink"):\n            try:',
        '        while url := page.get("no link"):\n            try:',
        "tests/flows/test_lying_lists.py::test_recommended_rule_groups_are_read_to_their_last_page",
    ),
    Mutation(
        "no page that isn't found is taken for the end of a list",
        "src/aks_postgres/arm/responses.py",
        "if error.status_code == 404 and pages.continuation_token:",
        "if False:",
        "tests/flows/test_lying_lists.py::test_no_plan_takes_a_page_that_isnt_found_for_the_end_of_a_list",
    ),
    Mutation(
        "what a run saw in two halves, as it slept in between, is told to nobody",
        "src/aks_postgres/runs/write_lock.py",
        "        except ProvisioningError:\n            await self._refuse_what_a_sleeper_found()\n            raise\n",
        "        except ProvisioningError:\n            raise\n",
        "tests/flows/test_one_writer.py::test_what_a_run_finds_after_it_slept_is_no_reason_to_do_anything[False]",
    ),
    Mutation(
        "a plan that has moved since it was approved is refused",
        "src/aks_postgres/runs/plan_moves.py",
        "    if now.digest == digest:",
        "    if now.digest:",
        "tests/flows/test_plan_view.py::test_a_plan_that_has_moved_is_refused_by_what_has",
    ),
    Mutation(
        "a run looks again at the plan that was approved",
        "flows/provision.py",
        "        if approved_plan:",
        "        if approved_plan is None:",
        "tests/flows/test_plan_view.py::test_a_run_whose_approved_plan_isn_t_what_it_would_do_writes_nothing",
    ),
    Mutation(
        "what can't be carried out has no cost",
        "src/aks_postgres/runs/plan_view.py",
        "    if found.can_t:\n        return found\n",
        "",
        "tests/flows/test_plan_view.py::test_what_can_t_be_done_has_no_cost_and_its_way_out",
    ),
    Mutation(
        "a change is named by the spec's field",
        "src/aks_postgres/spec/spec_paths.py",
        '    "maxCount": "max_count",\n',
        "",
        "tests/flows/test_plan_view.py::test_arm_s_path_is_said_on_request",
    ),
    Mutation(
        "equal changes are told once",
        "src/aks_postgres/runs/plan_view.py",
        "        if len(same) > 1\n",
        "        if len(same) > 99\n",
        "tests/flows/test_plan_view.py::test_the_same_change_is_told_once_and_another_one_by_its_resource",
    ),
    Mutation(
        "nothing is begun where nobody can be asked",
        "src/aks_postgres/cli/approval.py",
        "    if not (sys.stdin.isatty() and sys.stderr.isatty()):",
        "    if not sys.stdin:",
        "tests/cli/test_approval.py::test_nobody_can_be_asked_without_both_ends_of_a_terminal",
    ),
    Mutation(
        "only yes is a yes",
        "src/aks_postgres/cli/approval.py",
        '    if sys.stdin.readline().strip().casefold() != "yes":',
        "    if not sys.stdin.readline():",
        "tests/cli/test_approval.py::test_only_yes_goes_on",
    ),
    Mutation(
        "which environment it is has to be said",
        "src/aks_postgres/cli/spec_options.py",
        "    if missing:\n        options",
        "    if not missing:\n        options",
        "tests/cli/test_approval.py::test_which_environment_it_is_has_to_be_said",
    ),
    Mutation(
        "an empty spec file is refused",
        "src/aks_postgres/cli/spec_options.py",
        "    if spec_file is not None and not given:",
        "    if spec_file is None and not given:",
        "tests/cli/test_spec_options.py::test_an_empty_file_is_refused",
    ),
    Mutation(
        "a plan in a file that was edited is refused",
        "src/aks_postgres/cli/plan_file.py",
        '    if view.digest != kept.get("digest"):',
        '    if not kept.get("digest"):',
        "tests/cli/test_plan_then_do.py::test_a_file_that_is_no_plan_or_was_edited_is_refused",
    ),
    Mutation(
        "what isn't there is said before all of it is looked for",
        "flows/_listing.py",
        "    if not mine:",
        "    if not mine and found:",
        "tests/flows/test_plan_view.py::test_an_environment_that_isn_t_there_is_said",
    ),
    Mutation(
        "a heartbeat that is overdue is nobody's",
        "tasks/environments.py",
        "    if until.tzinfo is None or until < now:",
        "    if until.tzinfo is None:",
        "tests/tasks/test_environments.py::test_who_writes_is_told_until_the_heartbeat_is_overdue",
    ),
    Mutation(
        "a region that isn't there is bad input",
        "src/aks_postgres/runs/failures.py",
        "isinstance(error, SpecError | UnknownRegion)",
        "isinstance(error, SpecError)",
        "tests/cli/test_spec_commands.py::test_a_region_that_isn_t_there_is_bad_input",
    ),
    Mutation(
        "a database's volume never shrinks",
        "src/aks_postgres/database/limits.py",
        "        if new is None or (bytes_of(old) or 0) > (bytes_of(new) or 0):",
        "        if new is None:",
        "tests/tasks/test_database.py::test_a_volume_that_would_shrink_is_refused",
    ),
    Mutation(
        "a Cluster that another made is left alone",
        "tasks/database/postgres_cluster.py",
        "    if has != wanted:",
        "    if False:",
        "tests/tasks/test_database.py::test_somebody_else_s_objects_are_left_alone",
    ),
    Mutation(
        "an archive that was used is refused before there is a Cluster",
        "tasks/database/credential.py",
        "            await blobs.refuse_used(lineage(target))",
        "            pass",
        "tests/tasks/test_database.py::"
        "test_an_archive_that_another_cluster_used_is_refused_before_there_is_a_cluster",
    ),
    Mutation(
        "no two generations archive under one name",
        "src/aks_postgres/database/objects.py",
        '    return f"{target.names.postgres_cluster}-{target.generation}"',
        '    return f"{target.names.postgres_cluster}"',
        "tests/database/test_objects.py::test_no_two_generations_archive_under_one_name[shop-db]",
    ),
    Mutation(
        "parameters that could lose acknowledged data are refused",
        "src/aks_postgres/spec/database.py",
        "    if name in _UNSAFE:",
        "    if False:",
        "tests/spec/test_database_spec.py::test_what_makes_no_database_is_refused_by_its_field",
    ),
    Mutation(
        "a database isn't rebuilt empty unless its data is let go",
        "flows/rebuild.py",
        "        if spec.database is not None and going and discard_data is None:",
        "        if False:",
        "tests/flows/test_rebuild.py::test_a_database_is_not_rebuilt_empty_unless_its_data_is_let_go",
    ),
    Mutation(
        "a variable's secret is removed by its value",
        "src/aks_postgres/files/environment_secrets.py",
        "        keep_secret(os.environ.get(name))\n",
        "        pass\n",
        "tests/tasks/test_secret_sources.py::test_what_a_variable_holds_is_removed",
    ),
    Mutation(
        "a proxy's password is removed by its value",
        "src/aks_postgres/files/environment_secrets.py",
        '            _keep_password(before.rpartition("//")[2])\n',
        "            pass\n",
        "tests/tasks/test_secret_sources.py::test_what_a_variable_holds_is_removed",
    ),
    Mutation(
        "an access token is removed by its value",
        "src/aks_postgres/arm/credentials.py",
        "            keep_secret(found.token)\n",
        "",
        "tests/tasks/test_secret_sources.py::test_an_access_token_is_removed",
    ),
    Mutation(
        "a kubeconfig's token is removed by its value",
        "src/aks_postgres/kubernetes/client.py",
        "            keep_secret(user.get(name))\n",
        "            pass\n",
        "tests/tasks/test_secret_sources.py::test_what_a_kubeconfig_signs_in_with_is_removed",
    ),
    Mutation(
        "a kubeconfig's key is removed by its value",
        "src/aks_postgres/kubernetes/client.py",
        '        keep_secret(base64.b64decode(str(user.get("client-key-data") or "")))\n',
        "",
        "tests/tasks/test_secret_sources.py::test_what_a_kubeconfig_signs_in_with_is_removed",
    ),
    Mutation(
        "a password that a step draws is removed by its value",
        "tasks/database/secret.py",
        "            keep_secret(password)\n",
        "",
        "tests/tasks/test_secret_sources.py::test_a_password_that_a_step_draws_is_removed",
    ),
    Mutation(
        "a password that a step finds is removed by its value",
        "tasks/database/secret.py",
        '        keep_secret(_decoded(given.get("password")))\n',
        "",
        "tests/tasks/test_secret_sources.py::test_a_password_that_a_step_finds_is_removed",
    ),
    Mutation(
        "psql's password is removed by its value",
        "src/aks_postgres/cli/psql.py",
        '            keep_secret(secret["password"])\n',
        "",
        "tests/tasks/test_secret_sources.py::test_the_password_that_psql_signs_in_with_is_removed",
    ),
    Mutation(
        "the token of a pod's service account is removed by its value",
        "src/aks_postgres/resources/workload_identity.py",
        "    keep_secret(assertion)\n",
        "",
        "tests/tasks/test_secret_sources.py::test_the_tokens_of_the_databases_pods_are_removed",
    ),
    Mutation(
        "the token for backups is removed by its value",
        "src/aks_postgres/resources/workload_identity.py",
        "    keep_secret(token)\n",
        "",
        "tests/tasks/test_secret_sources.py::test_the_tokens_of_the_databases_pods_are_removed",
    ),
    Mutation(
        "a command knows its secrets before it connects: each is removed by its value",
        "src/aks_postgres/cli/main.py",
        "    keep_secrets_of_environment()\n",
        "",
        "tests/tasks/test_secret_sources.py::test_a_command_knows_them_before_it_connects",
    ),
    Mutation(
        "a run knows its secrets: each is removed by its value",
        "src/aks_postgres/arm/credentials.py",
        "    keep_secrets_of_environment()\n",
        "",
        "tests/tasks/test_secret_sources.py::test_a_run_knows_them",
    ),
)


def main() -> int:
    """Try each, and keep what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="guards whose text holds this")
    given = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if given.only in mutation.guard]
    guards = [mutation.guard for mutation in MUTATIONS]
    earlier = read_figures().get("mutations", {}).get("guards", [])
    # Those without a commit are of the layout before this one.
    found = {one["guard"]: one for one in earlier if one["guard"] in guards and one.get("commit")}
    survived = 0
    with tempfile.TemporaryDirectory(prefix="aks-postgres-mutations-") as folder:
        copy = Path(folder) / "copy"
        _copy_to(copy)
        failing = _failing(copy, chosen)
        for mutation in chosen:
            verdict = _verdict(copy, mutation, failing)
            survived += verdict != "caught"
            print(f"{verdict}: {mutation.guard} ({mutation.test})", flush=True)
            one = {"guard": mutation.guard, "test": mutation.test, "verdict": verdict, "commit": product()}
            found[mutation.guard] = one
            tried = [found[guard] for guard in guards if guard in found]
            write_figures("mutations", {"guards": tried, "all": len(guards)})
    return 1 if survived else 0


def _copy_to(copy: Path) -> None:
    shown = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in shown.stdout.splitlines():
        if (REPOSITORY / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, copy / name, follow_symlinks=False)


def _failing(copy: Path, mutations: Sequence[Mutation]) -> set[str]:
    """The tests that fail though all guards are in place; run together, as most of a test's time is its start."""
    tests = {mutation.test for mutation in mutations}
    ended = _pytest(copy, *tests)
    if ended.returncode not in (0, 1):  # one of them isn't there, and none was run
        return {test for test in tests if _pytest(copy, test).returncode}
    failed = [
        line.partition(" ")[2] for line in ended.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))
    ]
    return {test for test in tests if any(one.startswith(test) for one in failed)}


def _verdict(copy: Path, mutation: Mutation, failing: set[str]) -> str:
    file = copy / mutation.file
    whole = file.read_text()
    if whole.count(mutation.text) != 1:
        return f"the guard's text stands there {whole.count(mutation.text)} times"
    if mutation.test in failing:
        return "the test fails with the guard in place"
    try:
        file.write_text(whole.replace(mutation.text, mutation.instead))
        code = _pytest(copy, mutation.test).returncode
    finally:
        file.write_text(whole)
    # 1 is pytest's code for tests that failed; others mean that it couldn't run them.
    return "caught" if code == 1 else f"survived (pytest ended with {code})"


def _pytest(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    # Whatever the test is marked, thorough ones included.
    options = ["-q", "--tb=no", "-n", "0", "-m", ""]
    # The copy's packages come before the installed ones.
    packages = os.pathsep.join([str(copy / "src"), str(copy / "packages" / "azure-sandbox" / "src")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=copy,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )


if __name__ == "__main__":
    sys.exit(main())
