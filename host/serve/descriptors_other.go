//go:build !unix

package serve

import "net"

func descriptorLimit() int { return 0 }

func descriptorOf(net.Conn) (int, bool) { return 0, false }
