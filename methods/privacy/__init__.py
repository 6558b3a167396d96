"""What training gives away of its rows: a bound by noise, and two measures of what leaks without or in spite of it."""
