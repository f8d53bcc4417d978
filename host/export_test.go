package host

import (
	"context"
	"time"

	"weir/host/auth"
	"weir/host/serve"
	"weir/host/tenant"
	"weir/reactor"
)

// LiveQuery is a live query of nobody in particular, as a session holds it but
// without a connection: benchmarks watch thousands of them.
type LiveQuery struct {
	host *Host
	req  reactor.Request
	sub  *reactor.Subscription
}

// Watch subscribes to a function with arguments as JSON.
func (h *Host) Watch(name, args string) (*LiveQuery, error) {
	req, err := (&backend{h}).request(auth.Anonymous(tenant.DefaultName), serve.Query{
		Tenant: tenant.DefaultName, Name: name, Args: serve.Arguments{JSON: []byte(args)},
	})
	if err != nil {
		return nil, err
	}
	return &LiveQuery{host: h, req: req, sub: h.reactor.Subscribe(req)}, nil
}

// Query is the group's name in reactor.Run, State its newest state. Both may be
// asked for once Settle has returned.
func (l *LiveQuery) Query() string         { return l.sub.Query() }
func (l *LiveQuery) State() *reactor.State { return l.sub.Publication().State() }

// Leave ends the subscription.
func (l *LiveQuery) Leave() { l.sub.Leave() }

// Settle returns when every query has seen all that was committed before: it is
// clean at a read of the log that began after this call, or ran after it.
func (h *Host) Settle(live []*LiveQuery) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ready := make(chan struct{}, len(live))
	for _, l := range live {
		req := l.req
		req.Ready = func(*reactor.Subscription) { ready <- struct{}{} }
		defer h.reactor.Subscribe(req).Leave()
	}
	for range live {
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Subscribe subscribes in this process as a stream does, for a caller.
func (h *Host) Subscribe(ctx context.Context, who *auth.Caller, q serve.Query, on serve.Signals) (*serve.Live, error) {
	return (&backend{h}).Subscribe(ctx, who, q, on)
}
