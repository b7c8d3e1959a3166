"""Model versions and the alias that points at the champion."""
