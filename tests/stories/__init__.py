"""Stories: the whole house as a process, real sockets, real phones, and sound judged by measurement."""
