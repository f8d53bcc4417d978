package host

import (
	"context"

	"weir/host/auth"
	"weir/host/serve"
)

// Subscribe subscribes in this process, as a stream does.
func (h *Host) Subscribe(ctx context.Context, who *auth.Caller, q serve.Query, on serve.Signals) (*serve.Live, error) {
	return (&backend{h}).Subscribe(ctx, who, q, on)
}
