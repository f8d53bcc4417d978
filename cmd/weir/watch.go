package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
)

func (m *Main) watchCommand() *cobra.Command {
	var flags clientFlags
	var count int
	var why bool
	var admin string
	cmd := &cobra.Command{
		Use:   "watch NAME [name=value …]",
		Short: "Watch a query: a table in the terminal that stays live",
		Long: "Watch a query. In a terminal its rows are a table that is drawn again with each change;\n" +
			"elsewhere each result is one line of JSON. A lost connection is opened again.",
		Example: "  weir watch messages.list room=1 --as ann",
		Args:    nameFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			w := &watching{m: m, name: args[0], count: count}
			if why {
				c, err := m.adminClient(adminFlags{admin: admin, dir: flags.dir})
				if err != nil {
					return err
				}
				defer c.close()
				w.admin = c
			}
			return w.run(cmd.Context(), flags, args[1:])
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&why, "why", false, "say with each result why it came; asks the admin listener")
	cmd.Flags().StringVar(&admin, "admin", "", "the admin listener, for --why (default: as weir why finds it)")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after this many results")
	return cmd
}

// watching shows one query.
type watching struct {
	m      *Main
	name   string
	count  int
	seen   int
	result result
	status string

	admin  *client // nil without --why
	asked  url.Values
	as     clientFlags
	reason string          // why the newest result came
	ctx    context.Context // of run; events are handed over without one
}

// errEnough ends a watch that has shown what was asked for.
var errEnough = errors.New("enough")

func (w *watching) run(ctx context.Context, flags clientFlags, rest []string) error {
	if w.count < 0 {
		return usagef("--count %d is negative: give the number of results", w.count)
	}
	params, err := assignments(rest)
	s := &subscription{name: w.name, params: params, event: w.event, lost: w.lost}
	if err == nil && flags.args != "" {
		s.body, err = objectArgs(flags.args, rest)
	}
	if err != nil {
		return err
	}
	if s.client, err = w.m.client(flags); err != nil {
		return err
	}
	if w.asked = params; s.body != nil {
		w.asked = url.Values{"args": {string(s.body)}}
	}
	w.as, w.ctx = clientFlags{as: s.client.as, token: s.client.token}, ctx
	defer s.client.close()
	err = s.run(ctx)
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

// result is a full result as it stands in a stream. Rows keep the order of
// their columns, which a map would lose.
type result struct {
	V     string            `json:"v"`
	Key   []string          `json:"key"`
	Rows  []json.RawMessage `json:"rows"`
	Value json.RawMessage   `json:"value"`
}

// event shows one event.
func (w *watching) event(e sseEvent) error {
	var said struct {
		Status, Reason, Code, Message string
		Retryable                     bool
	}
	switch e.name {
	case "":
		w.result = result{}
		if err := json.Unmarshal(e.data, &w.result); err != nil {
			return fmt.Errorf("a result cannot be read: %w", err)
		}
		w.seen++
		w.explain()
		w.draw(e.data)
		if w.count > 0 && w.seen >= w.count {
			return errEnough
		}
		return nil
	case "sub", "problem", "end", "close":
		if err := json.Unmarshal(e.data, &said); err != nil {
			return fmt.Errorf("an event cannot be read: %w", err)
		}
	}
	switch e.name {
	case "sub":
		w.say(said.Status, said.Reason)
	case "problem":
		if !said.Retryable {
			return &problemError{Code: said.Code, Message: said.Message}
		}
		w.say("error", said.Message)
	case "end":
		return fmt.Errorf("the query has ended (%s): %s", oneLine(said.Reason), oneLine(said.Message))
	case "close":
		w.say("reconnecting", said.Reason)
	}
	return nil
}

func (w *watching) lost(err error, _ time.Duration) {
	why := ""
	if err != nil {
		why, _, _ = strings.Cut(err.Error(), ": ") // the next step is ours
	}
	w.say("reconnecting", why)
}

// say shows a status. On a terminal it stands above the table; elsewhere what is
// not the normal course goes to standard error.
func (w *watching) say(status, why string) {
	if status == "unchanged" {
		status = "live"
	}
	before := w.status
	w.status = strings.TrimSpace(status + "  " + oneLine(why))
	switch {
	case w.m.Terminal:
		if w.seen > 0 || status != "live" {
			w.draw(nil)
		}
	case w.status != before && (before != "" || status != "live"):
		fmt.Fprintf(w.m.Stderr, "%s %s\n", clock(time.Now()), w.status)
	}
}

// explain finds the run that made the newest result. Without a terminal it goes to
// standard error, where it is in the way of nobody who reads results.
func (w *watching) explain() {
	if w.admin == nil {
		return
	}
	params := url.Values{}
	for name, values := range w.asked {
		params[name] = values
	}
	if w.as.as != "" {
		params.Set("as", w.as.as)
	}
	var why host.Why
	err := w.admin.adminJSON(w.ctx, "/why/"+url.PathEscape(w.name), params, w.as.token, &why)
	w.reason = whyFrame(&why, w.result.V)
	if err != nil {
		w.reason = "why is not known: " + err.Error()
	}
	if !w.m.Terminal {
		fmt.Fprintf(w.m.Stderr, "%s %s\n", clock(time.Now()), oneLine(w.reason))
	}
}

// whyFrame says which run a version of the result came of.
func whyFrame(w *host.Why, version string) string {
	for i := range w.Past {
		// The oldest of those that found the same.
		if p := &w.Past[i]; p.Version == version && (p.Outcome == "frame" || i == len(w.Past)-1) {
			return fmt.Sprintf("%s  ran %s, waited %s, %s", p.Cause, millis(duration(p.CostMS)), millis(duration(p.WaitedMS)), counted(p.Watchers, "watcher"))
		}
	}
	if w.Version == version {
		return "it was there already"
	}
	return "a newer result has replaced it"
}

// draw shows the newest result. data is its JSON, nil when only the status is
// new.
func (w *watching) draw(data []byte) {
	if !w.m.Terminal {
		if data != nil {
			fmt.Fprintf(w.m.Stdout, "%s\n", plainJSON(data))
		}
		return
	}
	if w.status == "" {
		w.status = "live"
	}
	var b strings.Builder
	// Home, clear, and no wrapping while this is drawn: a line that wraps would
	// push the table down.
	b.WriteString("\x1b[H\x1b[J\x1b[?7l")
	fmt.Fprintf(&b, "%s  %s  %s  %s\n", w.name, w.status, counted(len(w.result.Rows), "row"), clock(time.Now()))
	fmt.Fprintf(&b, "%s\n", oneLine(w.reason))
	if w.result.Value != nil {
		fmt.Fprintf(&b, "%s\n", oneLine(string(w.result.Value)))
	} else {
		writeTable(&b, rowsTable(w.result.Rows, tableRows))
	}
	b.WriteString("\x1b[?7h")
	fmt.Fprint(w.m.Stdout, b.String())
}
