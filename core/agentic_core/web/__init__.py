"""What the programs that serve HTTP share: server, lifecycle, metrics, problem documents, body limits, shares."""
