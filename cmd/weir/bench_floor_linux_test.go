package main

import (
	"net"
	"syscall"
)

// descriptorOf takes a connection's socket out of the hands of Go's runtime: a
// blocking socket that a plain write is enough for.
func descriptorOf(conn net.Conn) int {
	file, err := conn.(*net.TCPConn).File() // a copy, blocking
	if err != nil {
		panic(err)
	}
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		panic(err)
	}
	file.Close()
	conn.Close()
	if err := syscall.SetNonblock(fd, false); err != nil {
		panic(err)
	}
	return fd
}

func writeAll(fd int, text string) { writeBytes(fd, []byte(text)) }

// writeBytes ignores what cannot be written: a client that went is no matter.
func writeBytes(fd int, text []byte) { _, _ = syscall.Write(fd, text) }
