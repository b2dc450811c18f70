"""What a run reports back: outputs, plans, receipts, costs, its journal. Data only."""
