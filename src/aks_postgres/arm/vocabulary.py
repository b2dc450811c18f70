"""Words of Azure's, Kubernetes' and CloudNativePG's own: of messages, keys and types a recording keeps no others.

They are from the names of fields in their schemas, and from what they say. A word that somebody may well call a thing
of theirs, such as a department, doesn't belong here.
"""

from __future__ import annotations

import re

# Names of fields that are one word, in lower case.
FIELDS = frozenset(
    re.findall(
        r"\S+",
        """
    action actions active add additional additionalinfo additionalproperties address addresses affinity
    aggregation alert allocatable allof allowed annotations anyof applied architecture args assigned atomic
    attachable audience audiences authorization average backup baselines blob blocked blocks bootstrap bypass
    bypassrls caller capabilities capacity categories category cause causes cephfs certificates cidr cinder
    claims classification cluster cni code columns command comment compiler component compression condition
    conditions config configuration containers context controller conversion cooldown correlation cors cost
    count cpu createdb createrole criteria cron csi data database databases days dbname ddos debug debugsetting
    decision decisions default definition delete denied dependencies dependson deprecated description
    destinations details dimensions direction directory display divisor driver drivers drop duration effect
    egress elements enabled encoding encryption end endpoint endpoints ensure enum env ephemeral equals error
    errors etag event events example examples except exception exclusive exec expiration expirations expires
    expression extensions failed family fc fdw fdws feature features field file filter filters finalizers
    flocker for format fqdn fqdns frequency from gateway generation geography gid glusterfs group groups grpc
    handler hash health healthy help hints host hostname hostnames hostpath hours hugepages id identity image
    images immediate immutable import info ingress inherit initdb innererror insights instances interval ip ips
    iqn iscsi issuer items jobs key keyname keyring keys keyvaultproperties keyvaulturi keyversion kind
    kubeconfigs kubelet kubeletidentity labels ldap legacy level lifecycle limit limits links linux list
    liveness loadbalancer local locale location locations login logs lun mac major managed mapping maximum
    medium members memory message metadata metadatavalues method metrics minimum minor minutes mode modulus
    monitoring monitors name names nameservers namespace namespaced namespaces network networks nextlink nfs
    node nodeport nodes nonce not notifications nullable number objects odata omsagent oneof onerror online only
    operation operations operator optional options origin os outputs overhead owner parameters partition
    password patch patches path pattern paused peers permissions pgbouncer phase plan plans platform plugin
    plugins plural pod pods policy pool port portals ports postgresql preference prefix primaries primary
    principal principals priority privileged probes profiles projected properties protocol provider providers
    provisioner quantity query quobyte range rbd readiness ready reason recommendation reconciled record
    recovery recurrence reference references regex region registry related replacement replica replicas
    replicating replication repository request requests required requirements reserved resize resource
    resourceregion resources restrictions retention revision role roles rows rules running scale scaling
    schedule schema schemas scheme scope scopes searches seconds secret secrets selector self sensitivity
    separator series served server servers service services serving setting settings severity shm signal
    singular size sku skus sleep source sources spec stages standby standbys start started startup state
    statistic status statuses stdin storage storageos strategy stream streams subdomain subject subjects subnet
    subnets subresource subresources subsets suffix superuser suspend swap synchronous sysctl sysctls syslog
    system systemdata table tablespace tablespaces tags taints target tcpsocket template temporary tenant
    terminated terminating text threshold tier timeseries timespan timestamp timestamps title tls to token
    tokens tolerations top topology total tty type uid unit unschedulable update upgrades uri url usage usages
    user userassigned users validated validator value values verb verbs version versions vnet volume volumes
    waiting wal webhook webhooks weight workspace workspaces wwids zone zones
        """,
    )
)

# Names of fields that aren't letters and digits only.
OTHER_FIELDS = frozenset(
    re.findall(
        r"\S+",
        """
    $ref $schema @odata.type api-version balance-similar-node-groups bin_path correlation_id
    daemonset-eviction-for-empty-nodes daemonset-eviction-for-occupied-nodes dynamic_library_path
    ephemeral-storage error_codes error_description extension_control_path hugepages-1Gi hugepages-2Mi
    ignore-daemonsets-utilization labelSelector ld_library_path max-empty-bulk-delete
    max-graceful-termination-sec max-node-provision-time max-total-unready-percentage new-pod-scale-up-delay
    not-managed ok-total-unready-count pending-reconciliation pg_basebackup pg_hba pg_ident
    scale-down-delay-after-add scale-down-delay-after-delete scale-down-delay-after-failure
    scale-down-unneeded-time scale-down-unready-time scale-down-utilization-threshold scan-interval
    shared_preload_libraries skip-nodes-with-local-storage skip-nodes-with-system-pods trace_id
    x-kubernetes-embedded-resource x-kubernetes-int-or-string x-kubernetes-list-map-keys x-kubernetes-list-type
    x-kubernetes-map-type x-kubernetes-preserve-unknown-fields x-kubernetes-validations x-ms-error-code
        """,
    )
)

# What names of fields and error codes of several words, such as provisioningState, are made of.
PARTS = frozenset(
    re.findall(
        r"\S+",
        """
    absolute acceleration acl acls activated ad adjust administrators adopted adoption advanced age aggregated
    aggregation ahead ai aio alerting alerts alias aliases allocatable allocate allowlist alt ambiguous analysis
    annotations anti apiv app append approval approver approvers approximate arch architectures args armor
    artifact asset assignable assignee association async asynchronous auth automation automount autoscale
    availabilities aws b backend backlog balance bandwidth basebackup behavior billing bin binary bind binding
    bios boot bouncer buckets built builtin bulk bundle burst bursting bus c cache caching canonicalized capping
    capture catalog categories ceph cert cfs chain channel chap checksums child choice cid cidrs cinder ciphers
    claim cleaner cmk co codes cold collaboration collate collation collision column columns commit compression
    conditions configurable conflicting connector connectors conntrack consent constants consumer context cool
    cors cost counter counters country credits criterion cross csrf ctype customer daemon dangling dataset dates
    day db ddos decision decisions declarations defrag delegate demotion deploying deprecation description
    detail deterministic devices dimension dimensions dir direct directories discovery display disrupted
    disruptions distribution divide dn double download downward ds dual dump durability during edit editors
    effective effects elastic election eligibility email emails emitted enrichment enterprise enum env err
    escalation evaluation exceptions execution expanded expansion explorer export expr expressions extracted
    fabric facility families family fc fedcred feed filesystem fill fin fingerprint flex flocker floor flows
    forest forwarder fqdn fs gap gate gates gating gc gce gdpr gi gid git gke glusterfs gmsa google gpu grain
    granularity grouping groups grpc guardrail handle handler handlers hba hidden hint hints hns holder home
    hook hosted hostname hot hub hubs huge i icu ident identities ignore ignored iis images implementations
    import imports incident incidents included infrastructure ingested ingestion ingress inherit inheritable
    init initiator inner inotify insight insights instrumentation integration integrations interface internet
    intvl inventory io iops ipc iscsi isolation issues istio items itsm job justification keepalive kerberos kms
    kql kube kubeletidentity kubenet labeled labels ld legacy levels libraries library license lifecycle line
    locale localized logging logic logical logs loop ls lsn machines management mapped mb me measure mechanism
    memberships mesh methods mi mibps min misscheduled mitigate mitigation modes month monthly months mounts
    much mutating mute n naming native neigh net netdev netfilter nf nfs nominated non notifications nr ns o
    observed occurrences offset ok open operating option optmem origin origins overflow overhead overlap
    overrides owners paid party passed patterns pd pdb perimeter perimeters periods pg phone photon pid pids pk
    planned plugins points policies portworx postdata power pre predata predictive preference preferred prefixes
    preload preserve pressure price primaries printer proc projected projection proposed protocols proximity ps
    publication publisher push qos qualified queries quobyte raw rbd receivers recipient recipients
    recommendation records recoverability recursive redirection ref references referral refs reinvocation
    relabelings relative remediatable reminder repo report require requirements resolvable responder responders
    reviewed reviewers revisions rk rmem roll rs rsa runbook s saas sam sampling scalar scaler scan scanned
    scoped scraping screenshots se sec seccomp segment selectable selectors sensitivity sentinel serve sftp
    shares sharing sid sidecar sign signer signing singular skew skip slice smart smb sms soak socket somaxconn
    sources spec specifications specifiers spending spot squash stack stages stamp statistics stats statuses
    stdin stored sub submission subresources subset summaries summary superuser supplemental supports sv swap
    swappiness syn sysctls syslog tables tablespace tablespaces targeted tcpkeepalive telemetry tenants term
    threads thresh thresholds ticket timeframe timegrain tli toolchain traces transform transit transparent tree
    trial turbo tw ultra undrainable unified unneeded unsafe unusable ur username uuid v validating var
    versioned vertical vfs viewers voice vsphere vtpm web website weeks weighted windows wmem ww wwn wwns x xid
        """,
    )
)

# Words of messages.
SAID = frozenset(
    re.findall(
        r"\S+",
        """
    a aad able abort aborted about above accept acceptable accepted accepting access according account accounts
    achieve acquire acquired across acted action actions active activity actor actor's actual add added adding
    additional additionally additions addon address addresses admin administrator admins admission affected
    affinity after afterwards again against agent agentpool agentpoolprofile agents aggregate ago aks
    akslongtermsupport alert all allocated allocation allocationmethod allow allowed allowedmincount allows
    almost along alphabetic alphanumeric already also alter alternatives although always am among amount an
    analytics and anew announcement another answer answered answers any apart api apiserver apiversion appear
    appears application applied apply appropriate approved approximately archive archived archiver archives
    archiving are aren't arm array as asked asks assertion assigned assigning assignment assignments assigns
    associate associated at attach attached attaching attempt attempted attempting attempts attribute attributes
    audience authenticate authenticating authentication authority authorization authorized auto automatic
    automatically autoscaler availability available avoid awaiting az azure azure's back backoff backup backups
    bad badrequest balancer balancers bare barman barmancloud barmanobjectstore base based basis batch be bearer
    because become been before begin beginning begins being belong below beneath best between beyond bigger blob
    blobs block blocked blockid blocks body bookmarks boolean bootstrap both bound boundary break breaking
    broken browser bucket budget budgets build busy but by bytes ca cached calculate calculated call callback
    called calling calls came can can't cancel canceled cancelled cancelling cannot cannotdelete capabilities
    capability capacity caps carefully case category cause caused causes causing certain certificate
    certificates chance change changed changes changing character characters chars check checked checkpoint
    checks choose chosen cidr cilium claims class cleanup cleared client clienterror clients clock close closed
    closing cloud cloudnativepg cloudnativepg's cluster cluster's clusterrolebinding clusterrolebindings
    clusterroles clusters cni code collected collection collector combination comes command common communicate
    communication compaction compatible complete completed completely component components compute concurrency
    concurrent concurrently condition conditional config configmap configmaps configuration configurations
    configured confirm conflict conflicted conflicts connect connected connecting connection connections
    connectivity consider consist consistent constrained constraint constraints consult consume consumed contact
    contacted contacting contain container container's containers containing contains content contents continue
    continuous continuously contract control controller conversion convert copies copy cordon cordoned core
    cores correct correctly correlation corresponding could couldn't count counted counts cpu crash crashed
    crashing crd crds create created creating creation credential credentials critical cronjob cronjobs csi csr
    current currently custom customresourcedefinition customresourcedefinitions cut cve daemonset daemonsets
    daily dashboard data database databases datacollectionendpointid datacollectionruleid dataplane date days
    deadline deallocated debug declared decode decoding decrease dedicated deep default define defined definer
    definition definitions degraded delay delays delegated delegation delete deleted deletes deleting deletion
    deliver demote demoted demoting denied denies deny dependency dependent depends deploy deployed deployment
    deployments deprecated deprovisioning deserialized desired despite destination destroyed detach detached
    detailed details detected determine determined device diagnostic diagnostics did didn't differ different
    differing digit digits directly directory disable disabled disabling disallow disallowed disconnected
    discovered disk disks disruption dns dnssettings do doc document documents does doesn't domain domains don't
    done down downgrade downtime drain drained draining draws driver drop dropped dryrun due duplicate duration
    durations dynamic each earlier effect egress egressselections egressselectorconfiguration either elapsed
    eligible eliminate else emergency emit empty enable enableautoscaling enabled enabling encounter encountered
    encountering encryption end ended ending endpoint endpoints endpointslice endpointslices ends enforced
    enforcement engine enough ensure enter entered entire entity entra entry environment ephemeral eq equal
    errimagepull error errored errors essential established etag etcd etcd's evaluate evaluated event events
    every evicted evicting eviction exact exactly example exceed exceeded exceeding exceeds except exclude
    excluded exclusive exec executable execute exhausted exist existing exists exit exited expand expected
    expiration expired expires expiry explicit explicitly exposed expression extend extended extension
    extensions external extra fail failed failedprecondition failing failover failovers fails failure fallback
    false fast fatal feature features federated federation feedback fenced fencing fetch fetches fewer field
    fieldmanager fields file files filled filter final finalizer finalizers find finish finished fips firewall
    first five fixed flag flags flow folder follow followed following for forbidden force format formatted
    formed forward forwarding found free frequency frequent frequently fresh from fulfill fulfilled full fully
    function further future gateway gateways gb generate generated generatename generation generic geo get gib
    gigabytes given giving global go gone good got grace graceful grafana grant granted granting graph's greater
    group grow guarantee guid guide had hadn't handed handled handling handshake hang happen happened happens
    hard has hash hasn't have haven't head header headers healing health healthy heartbeat helm help here
    hibernated hibernation high higher history hit hold holds host hour hours how however hpa http httpconnect
    https hung iam id identical identifier identifiers identity idle ids if ill illegal image immediate
    immediately immutability immutable impact implement implicit importing impossible in inactive inbound
    include includes including incoming incompatible incomplete incorrect increase index indicate indicates
    individual ineligible info information inherited initdb initial initialize initialized initializing
    initiating input inputs inside inspect install install's installation installed installing instance
    instances instead instruction insufficient int intend intentionally internal interrupted interval
    intervention into introduced invalid invalidated invoking involved ip ips ipv is isn't isolated issue issued
    issuer issuer's it it's item its joined joining json just jwt keep kept kernel key keyed keys kib kill
    killed kind know known knows kubectl kubelet kubelet's kubernetes label lack lacks lag language large last
    lasts latency later latest leads leaf lease leases least leaves left legal length less let letter letters
    level likely limit limited limits linear link linked links linux list lists live liveness load loaded
    loading local localhost locate located location locations lock lockdown locked locks log logged login long
    longer look looks lookup loopback loses lost low lower lowercase lowest lts machine made maintenance major
    make makes making malformed manage managed managementpolicy manager managing manifest manual manually many
    map mapping mappings marked marker marking match matched matching max maxcount maximal maximum maxresults
    maxsurge maxunavailable may mean means meant meanwhile measured media meet meets megabytes member members
    membership memory mention merge merged message met meta metadata method metric metrics mib microsoft might
    migrate migrated migrating migration mincount minimal minimum minor minute minutes mirror mismatch
    mismatched missing mistake mixed mode model modification modifications modified modify modifying module
    moment monitor monitoring more most mount mounted mounting move moved msi multi multiple must mutable mutate
    mutatingwebhookconfiguration mutatingwebhookconfigurations mutation name named names namespace namespaces
    nat near necessary need needed needs negative neither nested network networking networkplugin
    networkpolicies networkpolicy networks never new newer newest next nic nil no node nodepool nodes none nor
    normal normally not note nothing notice notification notolderthan now nsg null number numbers numeric nvme
    object objects objectstore obsolete obtain obtained occupied occur occurred occurs of off offer offered
    offline often oidc old older on onboard once one ongoing online only onto oom opened operated operation
    operation's operational operations operator optional options or orchestrator order ordered original orphaned
    os other otherwise our out outage outbound outdated output outside over overlapping overlaps overlay
    override overriden own owned owner pack page pages parallel parameter parameters parent parse parsing part
    partial partially particular partition pass passing password passwords patch patched path paths pattern
    pauses peer pending per percent percentage perform performance performed performing period permanent
    permanently permissible permission permissions permit permitted persistent persistentvolume
    persistentvolumeclaim persistentvolumeclaims persistentvolumes pgbouncer phase physical pip placement places
    plain plan plane planes platform please plugin pod pod's poddisruptionbudget poddisruptionbudgets pods
    podspec point pointing policy pool pooler pools popular port portal ports possible possibly post postgres
    postgresql posting potential powered precondition preempted preemption prefix premium prepare present
    presented prevent prevented preventing prevents preview previously primary principal principalid principals
    principaltype print prior priority priorityclass priorityclasses private privilege privileges probe probes
    problem problems proceed process processed processes processing produced profile profiles progress
    progressed progressing prohibited prometheus promote promoted promoting promotion propagate propagated
    propagation proper properly properties property protected protection protobuf protocol proves provide
    provided provider providers provision provisioned provisioning provisioningstate proxy proxyprotocol public
    publicip publish pull pulling purge purged purging purpose put pv pvc pvctemplate queried query quick
    quickly quite quorum quota quotas raise random range ranges rare rate rates rather rbac re reach reached
    read readable readiness readonly reads ready real reason reasons reattempt reboot rebooted rebooting receive
    received receiver recently reclaim recognized recommend recommendations recommended reconcile reconciled
    reconciler reconciliation reconciling record recover recoverable recovered recovering recovery recreate
    recreated recreating reduce reduced redundancy refer reference referenced refers refresh refused regarding
    regex region regional regions register registered registering registration registry regular regularly reject
    rejected rejecting related release released releases reliable remaining remains remediation remembered
    remote removal remove removing rename renew renewed reopen repair repeat repeated replace replacement
    replayed replica replicas replicaset replicasets replicating replication reply reported reporter reporting
    reportingcomponent reports represents request request's requested requesting requests required requirement
    requires reservation reserve reserved reset resize resized resizing resolution resolve resolved resolving
    resource resourcegroup resourcenotfound resources resourceversion resourceversionmatch respectively respond
    responded responding response responses rest restart restarting restarts restore restored restoring
    restricted restriction restrictions result resulted resulting results retention retried retries retrieve
    retrieved retrieving retry retrying return returned returning returns reuse reused review revision revoke
    revoked role rolebinding rolebindings roleref roles rollback rolled rolling rollout rollover rolname root
    rotate rotated rotation round route routes routing rpc rule rules run running runs runtime safe same saml
    sas satisfied satisfy satisfying say says scale scaled scaling schedulable schedule scheduled scheduler
    scheduling schema schemas scope scopes search second secondary seconds secret secrets section secure
    security see segments select selected selecting selection selector self semantic send sending
    sendinitialevents sends sent separate sequence series served server server's servers serves service
    serviceaccount serviceaccounts serviceprincipal services session set sets setting settings severity shape
    share shared ship short shortly should shouldn't shows shrink shut shutdown shutting side signal signaled
    signature signed significant similar simultaneously since single site size sizes skipped skipping sku sla
    sleep slot slots slow smaller snapshot snapshots so soft softdeleted solution solve some someone something
    sorry source space special specific specification specified specify specifying split spread sql ssd ssh ssl
    stable stage stale standard standby stands start started starting starts startup state stated stateful
    statefulset statefulsets statement static status stays step steps still stop stopped stopping storage
    storageclass storageclasses store stores strategy stream streaming strict string structure stuck subcode
    subdomain subject submit submitted submitting subnet subnets subresource subscription subscriptions
    subsequent succeed succeeded succeeding succeeds success successful successfully such sufficient suggested
    suitable support supported sure surge suspend suspended switch switched switching switchover sync synced
    synchronization synchronize synchronized synchronous syntactically syntax system systems table tag tagged
    tags taint tainted taints take taken takes target targets task tasks tcp technical tells template
    temporarily temporary ten tenant terminate terminated terminates terminating termination terms test tested
    text than thank that the their them then there therefore these they third this those though three threshold
    throttle throttled throttling through throughput thus tier tiers till time timed timeline timeout
    timeoutseconds times timestamp title tls to together token tokens tolerate tolerated toleration tolerations
    too took topologies topology total totally touch towards trace tracing tracked tracking traffic transaction
    transfer transient transition transitioning transitions transport treated tried tries trigger triggered true
    truncated trust trusted try ttl tunnel turn twelve twice two type typed types uds ui uid unable
    unauthenticated unauthorized unavailable unchanged unclear undefined under undergoing underlying understand
    unexpected unexpectedly unfortunately unhandled unhealthy uninstall unique unit units unknown unlock
    unlocked unmanaged unmarshal unmarshalentity unmounted unnecessary unpack unprocessable unreachable unready
    unrecognized unrecoverable unregistered unresolved unresponsive unsatisfiable unschedulable unset unstable
    unsuccessful unsupported until untolerated unused unverified up update updated updates updating upgrade
    upgrades upgrading upload upper upstream uri url usage use used useful user users using usual utc
    utilization valid validate validated validatingwebhookconfiguration validatingwebhookconfigurations
    validation value values vary vault vcpus verification verified verify verifying version versioning versions
    via view violate violated violates violation violations vip virtual visible visit vm vms vmss vnet volume
    volume's volumes vpn waf wait waited waiting waits wal walstorage want wants warm warning warnings was
    wasn't watch watches way webhook webhooks week well were weren't what whatever when where whether which
    while who whole whose why widely will window wire with withdrawn within without won't worker working
    workload works workspace workspaces worse would wouldn't writable write writes writing written wrong xml
    yaml years yet you you'll your zero zonal zone zoneredundancy zones
        """,
    )
)

# Types in the paths of ARM and Kubernetes, without case.
TYPES = frozenset(
    re.findall(
        r"\S+",
        """
    abort accessprofiles accounts action actiongroups agentpools alertrulerecommendations api apis apiservices
    approval assign associations attach availabilitysets availableagentpoolversions backendaddresspools backups
    binding bindings blobservices certificaterequests certificates certificatesigningrequests checkaccess
    checkdnsnameavailability checknameavailability clearlegalhold clusterimagecatalogs clusterissuers
    clusterrolebindings clusterroles clusters commandresults componentstatuses configmaps configurations
    containers controllerrevisions cronjobs csidrivers csinodes csistoragecapacities customresourcedefinitions
    daemonsets databaseroles databases datacollectionendpoints datacollectionruleassociations
    datacollectionrules delete deletedaccounts deletedworkspaces denyassignments deployments diagnosticsettings
    disable disks enable endpoints endpointslices ephemeralcontainers events eviction exec extend extensions
    failoverquorums features federatedidentitycredentials fileservices finalize flowschemas
    frontendipconfigurations galleries grafana healthz horizontalpodautoscalers imagecatalogs images
    immutabilitypolicies ingressclasses ingresses intelligencepacks ipconfigurations issuers jobs join keys
    kubernetesversions lease leases limitranges linkedservices listclusteradmincredential
    listclusterusercredential listkeys listsecrets livez loadbalancers localsubjectaccessreviews
    locationoperationresults locationoperationstatuses locations lock locks log machines
    maintenanceconfigurations managedclusters managementgroups managementpolicies metricalerts metricnamespaces
    metrics mutatingwebhookconfigurations namespaces natgateways networkinterfaces networkpolicies
    networksecuritygroups nodes objectstores openapi operationresults operations operationstatuses orchestrators
    permissions persistentvolumeclaims persistentvolumes poddisruptionbudgets podmonitors pods podtemplates
    policyassignments policydefinitions policysetdefinitions poolers portforward priorityclasses
    prioritylevelconfigurations privatednszones privateendpointconnections privateendpoints prometheusrulegroups
    prometheusrules providers proxy publications publicipaddresses queueservices readyz register replicasets
    replicationcontrollers resize resourcegroups resourcequotas resources roleassignments rolebindings
    roledefinitions roles routetables runcommand runtimeclasses savedsearches scale scheduledbackups secrets
    selfsubjectaccessreviews selfsubjectreviews selfsubjectrulesreviews serviceaccounts servicemonitors services
    sharedkeys shares skus solutions start statefulsets status stop storageaccounts storageclasses
    subjectaccessreviews subnets subscriptions tables tableservices tagnames tags tagvalues token tokenreviews
    unregister upgradeprofiles usages userassignedidentities validatingadmissionpolicies
    validatingadmissionpolicybindings validatingwebhookconfigurations vaults version virtualmachines
    virtualmachinescalesets virtualnetworklinks virtualnetworks volumeattachments volumeattributesclasses
    volumesnapshotclasses volumesnapshotcontents volumesnapshots workspaces
        """,
    )
)
