"""What tests share: fakes, hostile servers, and the real parts that they start."""
