//! A key server or group member as a process: configuration, sockets, status and logs.
