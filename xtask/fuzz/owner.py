"""The person who owns the fuzzed server's first organization, and signs in where a key is not enough."""

EMAIL = "owner@example.com"
PASSWORD = "tall giraffes eat acacia"
