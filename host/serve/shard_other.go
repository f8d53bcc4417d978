//go:build !linux

package serve

import (
	"net/http"
	"sync/atomic"
)

// shards write nothing here: they need epoll.
type shards struct {
	server *Server
	held   atomic.Int64
}

const shardsExist = false

func (g *shards) take(http.ResponseWriter, *http.Request, *session, []byte) bool { return false }

func (g *shards) close() {}
