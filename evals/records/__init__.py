"""Records as the commands read them: tables, intervals, frontiers."""
