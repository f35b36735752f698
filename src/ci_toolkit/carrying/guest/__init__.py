"""Programs that run in the user's process inside a sandbox; sent there as text, never run here."""
