"""The parts of the interop suite: one server, many foreign clients, the same stories told by each."""
