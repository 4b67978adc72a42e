"""The parts of the interop suite: a server, many foreign clients, the same stories for each."""
