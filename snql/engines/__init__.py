"""Where the models are: in this process, or with workers on a Ray cluster. Both run the same shard function."""
