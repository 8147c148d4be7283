"""What every job that runs models shares: its inputs, its row, its batches and commits, its progress."""
