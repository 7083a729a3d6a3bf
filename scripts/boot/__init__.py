"""What scripts/bootstrap.sh and scripts/restore.sh are made of, by scripts/boot-scripts: each runs on Python alone."""
