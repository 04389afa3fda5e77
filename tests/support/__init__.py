"""What tests of several packages share: real servers and how to reach them."""
