package devdb

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// probeTimeout bounds one question to a server on this machine.
const probeTimeout = time.Second

// answers reports whether a server lets the superuser in on the socket. A start
// packet is all it takes: the reply begins with R (in) or E (starting up,
// shutting down, full).
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return false
		}
	}
	if _, err := conn.Write(startPacket()); err != nil {
		return false
	}
	var reply [1]byte
	if _, err := io.ReadFull(conn, reply[:]); err != nil || reply[0] != 'R' {
		return false
	}
	// A polite goodbye keeps "unexpected EOF" out of the server's log.
	_, _ = conn.Write([]byte{'X', 0, 0, 0, 4})
	return true
}

// startPacket opens protocol 3.0 for the superuser.
func startPacket() []byte {
	body := "user\x00" + superuser + "\x00database\x00postgres\x00\x00"
	p := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	p = binary.BigEndian.AppendUint32(p, 3<<16)
	return append(p, body...)
}
