package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/serve"
	"weir/reactor"
)

// Why is the answer to "why did this not update?" for one result. Its texts are
// sentences for people; beside them stand words for programs.
type Why struct {
	Function string `json:"function,omitempty"`
	Tenant   string `json:"tenant"`
	Caller   string `json:"caller,omitempty"`
	Group    string `json:"group,omitempty"` // the result's name on the wire
	// State is one of nobody, denied, undecided, held, failing, stale, running,
	// queued, live.
	State string `json:"state"`
	// Story says the state in a few sentences, the most telling first.
	Story []string `json:"story"`

	Watchers int    `json:"watchers"`
	Version  string `json:"version,omitempty"`
	Bytes    int    `json:"bytes,omitempty"`
	Snapshot string `json:"snapshot,omitempty"` // what the result has seen
	Runs     int    `json:"runs,omitempty"`
	SpentMS  Millis `json:"spent_ms,omitempty"`

	Reads    []WhyRead      `json:"reads"`
	Policies []WhyPolicy    `json:"policies,omitempty"`
	Changes  []WhyChange    `json:"changes"` // the newest first
	Open     []string       `json:"open,omitempty"`
	Past     []WhyRun       `json:"past"` // the newest first
	Streams  *serve.Readers `json:"streams,omitempty"`
	Capture  WhyCapture     `json:"capture"`
}

// Millis is a duration as operators' JSON has it.
type Millis float64

func millisOf(d time.Duration) Millis {
	return Millis(float64(d.Round(time.Microsecond)) / float64(time.Millisecond))
}

// WhyRead is one part of what a result depends on.
type WhyRead struct {
	Policy string `json:"policy,omitempty"` // whose it is; empty for the function itself
	Table  string `json:"table"`
	Text   string `json:"text"`
}

// WhyPolicy is one decision.
type WhyPolicy struct {
	Name   string `json:"name"`
	Answer string `json:"answer"`
	Text   string `json:"text,omitempty"`
}

// WhyChange is a recent change of a table that was read, and its fate.
type WhyChange struct {
	Tx    uint64 `json:"tx"`
	AgoMS Millis `json:"ago_ms"`
	Op    string `json:"op"`
	Table string `json:"table"`
	Fate  string `json:"fate"`
	Text  string `json:"text"`
}

// WhyRun is an execution that has ended.
type WhyRun struct {
	Function string `json:"function,omitempty"`
	Tenant   string `json:"tenant,omitempty"`
	Group    string `json:"group,omitempty"`
	Watchers int    `json:"watchers"`
	AgoMS    Millis `json:"ago_ms"`
	Cause    string `json:"cause"`
	WaitedMS Millis `json:"waited_ms"`
	CostMS   Millis `json:"cost_ms"`
	Outcome  string `json:"outcome"` // frame, same, allow, deny, failed
	Text     string `json:"text"`
	Version  string `json:"version,omitempty"`
}

// WhyCapture is the state of change capture.
type WhyCapture struct {
	Healthy bool   `json:"healthy"`
	AgeMS   Millis `json:"age_ms"`
	Text    string `json:"text"`
}

// whyTimeout bounds what is asked of the database for one answer.
const whyTimeout = 2 * time.Second

// Why answers for one result, by function, arguments and caller, or by its name
// on the wire. Nothing runs for it and nobody is subscribed.
func (h *Host) Why(ctx context.Context, q serve.WhyQuery) (*Why, error) {
	s, err := h.asked(q.Tenant)
	if err != nil {
		return nil, err
	}
	w := &Why{Function: q.Function, Tenant: s.tenant.Name, Reads: []WhyRead{}, Changes: []WhyChange{}, Past: []WhyRun{}}
	t := h.teller(s)
	t.others = q.Group != ""
	var r *reactor.Report
	if q.Group != "" {
		r, err = h.caughtUp(ctx, func() (*reactor.Report, error) { return h.reactor.AskGroup(ctx, s.tenant.Name, q.Group) })
		if err == nil && r.Group == nil {
			err = &serve.Refusal{Kind: abi.UnknownPath, Message: "there is no such result any more: nobody has watched it for a while"}
		}
	} else {
		r, err = h.ask(ctx, s, w, q)
	}
	if err != nil || r == nil {
		return w, err
	}
	if r.Group != nil {
		w.Function = r.Group.Name
	}
	t.report(w, r)
	h.notCommitted(ctx, w, r)
	if r.Publication != nil {
		streams := h.server.Readers(r.Publication)
		w.Streams = &streams
	}
	w.Capture = h.captureState()
	w.tell(r, h.database())
	return w, nil
}

// asked is the tenant of a question: the one that is named, else the only one.
func (h *Host) asked(name string) (*space, error) {
	if name == "" {
		return h.explained(), nil
	}
	if s := h.spaces()[name]; s != nil {
		return s, nil
	}
	return nil, &serve.Refusal{Kind: abi.UnknownPath, Message: fmt.Sprintf("there is no tenant %q", name)}
}

// ask finds out what a caller would see. A nil report means that nobody ever
// asks: w says why.
func (h *Host) ask(ctx context.Context, s *space, w *Why, q serve.WhyQuery) (*reactor.Report, error) {
	who, err := h.whose(ctx, s, q)
	if err != nil {
		return nil, err
	}
	w.Caller = seenAs(who)
	b := &backend{h}
	req, err := b.request(who, serve.Query{Tenant: s.tenant.Name, Name: q.Function, Args: q.Args})
	var refused *serve.Refusal
	if errors.As(err, &refused) && (refused.Kind == abi.Denied || refused.Kind == abi.Unauthenticated) {
		w.State, w.Capture = "denied", h.captureState()
		w.Story = []string{"denied before any policy is asked: " + refused.Message}
		if refused.Kind == abi.Unauthenticated {
			w.Story = append(w.Story, "name the caller: --as NAME, or a token for more claims than sub")
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return h.caughtUp(ctx, func() (*reactor.Report, error) { return h.reactor.Ask(ctx, req) })
}

// How long a question waits for a read of the log that began after it: whoever has
// just committed asks about that.
const (
	catchUp  = 300 * time.Millisecond
	askAgain = 5 * time.Millisecond
)

// caughtUp asks until the answer knows of all that was committed before, or for a
// while.
func (h *Host) caughtUp(ctx context.Context, ask func() (*reactor.Report, error)) (*reactor.Report, error) {
	began := time.Now()
	h.log.Poke()
	for {
		r, err := ask()
		if err != nil || r.At.IsZero() || !r.Began.Before(began) || time.Since(began) > catchUp {
			return r, err
		}
		pause := time.NewTimer(askAgain)
		select {
		case <-ctx.Done():
			pause.Stop()
			return r, nil
		case <-pause.C:
		}
	}
}

// whose is the caller of a question. Operators may ask about anybody: nothing is
// shown to the caller, and nothing of what the caller would see is shown.
func (h *Host) whose(ctx context.Context, s *space, q serve.WhyQuery) (*auth.Caller, error) {
	switch name, dev := strings.CutPrefix(q.Token, auth.DevToken("")); {
	case q.As != "":
		return s.verifier.DevUser(q.As)
	case dev:
		return s.verifier.DevUser(name)
	case q.Token != "":
		return s.verifier.Verify(ctx, q.Token)
	}
	return auth.Anonymous(s.tenant.Name), nil
}

// notCommitted notes transactions that have written what the result reads, and are
// still open.
func (h *Host) notCommitted(ctx context.Context, w *Why, r *reactor.Report) {
	tables := tablesOf(r)
	if len(tables) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, whyTimeout)
	defer cancel()
	writers, err := h.capture.Writers(ctx, tables)
	if err != nil {
		w.Open = append(w.Open, "open transactions are not known: "+err.Error())
		return
	}
	for _, o := range writers {
		who := fmt.Sprintf("process %d", o.PID)
		if o.PID == 0 {
			who = "a prepared transaction"
		}
		if o.User != "" {
			who += ", user " + o.User
		}
		text := fmt.Sprintf("not committed: transaction %s (%s) has written %s", o.XID, who, strings.TrimPrefix(o.Table, "public."))
		if o.Open > 0 {
			text += " and has been open for " + roughly(o.Open)
		}
		w.Open = append(w.Open, text)
	}
}

// tablesOf lists what the result and its decisions read.
func tablesOf(r *reactor.Report) (list []uint32) {
	add := func(set *reactor.ReadSet) {
		for i := range set.Atoms {
			if oid := set.Atoms[i].Table; !slices.Contains(list, oid) {
				list = append(list, oid)
			}
		}
	}
	add(&r.Reads)
	for i := range r.Decisions {
		add(&r.Decisions[i].Reads)
	}
	return list
}

// captureState says how the change log is read.
func (h *Host) captureState() WhyCapture {
	s := h.log.Stats()
	c := WhyCapture{Healthy: s.Healthy}
	if !s.LastRead.IsZero() {
		c.AgeMS = millisOf(time.Since(s.LastRead))
	}
	switch {
	case !s.Healthy && s.Err != nil:
		c.Text = "the change log cannot be read: " + s.Err.Error()
	case !s.Healthy:
		c.Text = "the change log has not been read yet"
	default:
		c.Text = fmt.Sprintf("the change log was read %s ago, up to %s", roughly(time.Since(s.LastRead)), s.Cursor)
	}
	if len(s.Uncaptured) > 0 {
		c.Text += fmt.Sprintf("; %d tables are not captured as they should be", len(s.Uncaptured))
	}
	return c
}

// roughly is a duration for people.
func roughly(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
