"""What a comparison will run: contenders, their ranges, schedules and tiers."""

__all__ = [
    "contender",
    "factorial",
    "forecast",
    "names",
    "own",
    "request",
    "schedule",
    "search_spaces",
    "selection",
    "stages",
    "tiers",
]
