//go:build !linux

package serve

import "net"

func boundUnsent(net.Conn) {}
