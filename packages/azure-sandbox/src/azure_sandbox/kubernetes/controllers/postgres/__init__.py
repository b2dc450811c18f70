"""The CloudNativePG operator's stand-in for what it does with a Cluster: instances are real PostgreSQL servers.

Real: PostgreSQL and its tools, barman-cloud's programs, tokens, roles, blobs, TLS. Standing in: kubelets, volumes
(folders of this machine), images (a tag picks installed programs), the plugin's conversation with the operator, the
AKS webhook.
Every fact about data in a status comes from asking PostgreSQL or barman-cloud.

Facts: https://github.com/cloudnative-pg/cloudnative-pg at v1.30.0 and https://github.com/cloudnative-pg/plugin-barman-cloud
at v0.14.0.
"""
