"""What a comparison will run: contenders, their ranges, schedules and tiers."""
