"""What every provider stands on: ARM's rules, Entra, operations, the clock, faults, the ledger."""
