"""Guide: "Deploy a highly available PostgreSQL database on AKS": the database itself."""
