"""What attackers tried, by kind of fault: each test measures the thing itself, such as memory or connections."""
