"""DO: side effects, one verb per file, behind three doors (tracking, storage, quality)."""
