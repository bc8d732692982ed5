"""What stands between the command line and the program: words, written and read."""
