package weir

import (
	"errors"
	"time"

	"weir/abi"
)

// Call is one run of a function: the door to the host. It belongs to the
// goroutine of the handler and ends with it; do not keep it.
type Call struct{ backing }

var errShortPage = errors.New("the host gave fewer rows than it promised")

// Now returns the time of the call, in UTC. It is constant during a call. A
// query that uses it is not run again when time passes: see WakeAt.
func (c *Call) Now() time.Time { return time.UnixMicro(c.now()).UTC() }

// WakeAt asks for the function to be run again at t, even if nothing that it
// read has changed. Of several times the earliest counts. It means nothing in a
// mutation.
//
//	c.WakeAt(auction.Ends)
func (c *Call) WakeAt(t time.Time) error {
	if n := c.wakeAt(t.UnixMicro()); n < 0 {
		return c.refused(n, nil)
	}
	return nil
}

// Config returns what the operator set for key in [plugin.NAME.config] of
// weir.toml, and whether it is set. A number or a boolean comes as its text:
// "30", "1.0", "true". The configuration is part of what results are shared by,
// so ask in each call and keep nothing in a variable.
//
//	days, ok := c.Config("retention_days")
func (c *Call) Config(key string) (string, bool) {
	buf := make([]byte, 256)
	n := c.config(key, buf)
	if int(n) > len(buf) {
		buf = make([]byte, n)
		n = c.config(key, buf)
	}
	if n < 0 || int(n) > len(buf) {
		return "", false
	}
	return string(buf[:n]), true
}

// refused makes an error of a negated errno, with the host's text for it.
func (c *Call) refused(n int32, s *statement) error {
	e := &HostError{Errno: abi.Errno(-n)}
	buf := make([]byte, 1024)
	if size := c.errorText(buf); size > 0 && int(size) <= len(buf) {
		e.Text = string(buf[:size])
	} else {
		e.Text = e.Errno.String()
	}
	if s != nil {
		e.Text = s.title() + ": " + e.Text
	}
	return e
}
