"""What an attacker could do, by kind: each test is one way in that has to stay closed."""
