-- As clock, with a clock that stands still until a test moves it.
SELECT (SELECT now FROM clock_of_tests), since, seen_at, ahead FROM serving WHERE one = 1
