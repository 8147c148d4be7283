"""The command line: parse, call one library function, render, exit. No SQL, no torch."""
