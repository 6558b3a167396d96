"""Who looked at a move before it was made, and the audit: gate reports, approvals, and a ledger chained by hash."""
