"""What the commands read of records."""
