"""The reference server of the ScaiQueue API: to be run, read and checked against."""
