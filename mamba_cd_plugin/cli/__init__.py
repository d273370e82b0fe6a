"""Command line: what the tools and the console command share."""
