"""What a comparison will run: contenders, their ranges, schedules and tiers."""

__all__ = [
    "contender",
    "factorial",
    "forecast",
    "own",
    "schedule",
    "search_spaces",
    "selection",
    "stages",
    "tiers",
]
